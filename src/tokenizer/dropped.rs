//! Text that byte pairs without an unknown token drop.

use tokenizers::models::bpe::BPE;
use tokenizers::{ModelWrapper, OffsetReferential, OffsetType, PreTokenizer};

use super::encode::Tokenizer;

impl Tokenizer {
    /// The characters of a text that the tokenizers library drops without an error, in order. These are characters
    /// without a token, where byte pairs have no unknown token either. White space that the tokenizer removes on
    /// purpose does not count.
    pub fn dropped(&self, text: &str) -> Vec<String> {
        match self.inner.get_model() {
            ModelWrapper::BPE(model) if self.drops_text => {
                crate::contain::contain(|| self.dropped_by(model, text)).unwrap_or_default()
            }
            _ => vec![],
        }
    }

    fn dropped_by(&self, model: &BPE, text: &str) -> Vec<String> {
        let vocabulary = self.inner.get_added_vocabulary();
        let mut pieces = vocabulary.extract_and_normalize(self.inner.get_normalizer(), text);
        if let Some(pre_tokenizer) = self.inner.get_pre_tokenizer()
            && pre_tokenizer.pre_tokenize(&mut pieces).is_err()
        {
            return vec![];
        }
        let words = pieces.get_splits(OffsetReferential::Normalized, OffsetType::None);
        // A piece that has tokens already is an added token.
        let words = words.into_iter().filter(|(_, _, tokens)| tokens.is_none()).map(|(word, ..)| word);
        words.flat_map(|word| self.dropped_of_word(model, word)).collect()
    }

    /// The characters of a word that are in no token, as the library looks them up before it merges them.
    fn dropped_of_word(&self, model: &BPE, word: &str) -> Vec<String> {
        let known = |token: &str| self.inner.token_to_id(token).is_some();
        if model.ignore_merges && known(word) {
            return vec![];
        }
        let is_dropped = |&(at, character): &(usize, char)| {
            if character.is_whitespace() {
                return false;
            }
            let is_last = at + character.len_utf8() == word.len();
            let prefix = model.continuing_subword_prefix.as_deref().filter(|_| at > 0).unwrap_or_default();
            let suffix = model.end_of_word_suffix.as_deref().filter(|_| is_last).unwrap_or_default();
            let byte_tokens = || {
                let mut bytes = [0; 4];
                let bytes = character.encode_utf8(&mut bytes).bytes();
                model.byte_fallback && bytes.map(|byte| format!("<{byte:#04X}>")).all(|token| known(&token))
            };
            !known(&format!("{prefix}{character}{suffix}")) && !byte_tokens()
        };
        word.char_indices().filter(is_dropped).map(|(_, character)| character.to_string()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"{"version":"1.0","added_tokens":[],"pre_tokenizer":{"type":"Whitespace"},
        "model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":[["a","b"]]}}"#;

    #[test]
    fn characters_without_a_token_are_dropped_and_counted() {
        let tokenizer = Tokenizer::from_json(FILE.as_bytes()).unwrap();
        assert_eq!(tokenizer.dropped("ab  c\nb, cé"), ["c", ",", "c", "é"]);
        let (ids, unknown) = tokenizer.encode_counting("ab  c\nb, cé").unwrap();
        assert_eq!((ids, unknown.tokens, unknown.dropped), (vec![2, 1], 0, 4));
        // With an unknown token nothing is dropped.
        let file = FILE.replace(r#""type":"BPE","#, r#""type":"BPE","unk_token":"a","#);
        let tokenizer = Tokenizer::from_json(file.as_bytes()).unwrap();
        assert_eq!(tokenizer.dropped("ab c"), Vec::<String>::new());
        assert_eq!(tokenizer.encode_counting("b c").unwrap().1.tokens, 1);
    }
}
