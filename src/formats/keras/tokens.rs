//! The tokenizer of a Keras model: of its `TextVectorization`, or of a file with the `word_index` of a Keras
//! `Tokenizer`.
//!
//! Keras numbers words from 1 or 2, as 0 is padding, and an embedding may have more rows than there are words. Numbers
//! without a word get tokens that no text contains.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use crate::formats::format::ImportOptions;
use crate::formats::vocabulary;
use crate::tokenizer::Tokenizer;
use crate::{Error, Result, regular_file};

/// The token of padding, where the vocabulary has none.
const PADDING: &str = "<pad>";

/// The token of a `TextVectorization` for words outside its vocabulary.
const OUTSIDE: &str = "[UNK]";

/// The characters that `TextVectorization` removes.
const PUNCTUATION: &str = r##"!"#$%&()*+,-./:;<=>?@[\]^_`{|}~'"##;

/// The characters that `Tokenizer` replaces by spaces unless it is told otherwise.
const FILTERS: &str = "!\"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n";

/// The most rows of an embedding without a token, each of which gets a name.
const MOST_SPARE: u32 = 1 << 20;

/// Tokens by number, and what happens to text before it is cut into them.
struct Words {
    tokens: BTreeMap<u32, String>,
    unknown: Option<String>,
    lower: Option<Lower>,
    /// Characters that are replaced, and by what.
    filters: Option<(String, &'static str)>,
}

/// The letters that become lower case.
#[derive(Clone, Copy, PartialEq)]
enum Lower {
    /// A to Z, as TensorFlow does for `TextVectorization`.
    Ascii,
    /// All, as Python does for `Tokenizer`.
    All,
}

impl Lower {
    /// Return the steps of a normalizer.
    fn steps(self) -> Vec<Value> {
        match self {
            Self::All => vec![json!({ "type": "Lowercase" })],
            Self::Ascii => ('A'..='Z')
                .map(|letter| {
                    let content = letter.to_ascii_lowercase();
                    json!({ "type": "Replace", "pattern": { "String": letter }, "content": content })
                })
                .collect(),
        }
    }
}

/// Read the tokenizer of an embedding with `rows` rows. `text` has the options of a `TextVectorization` in the model,
/// and `lines` its tokens, if the file stores them apart.
///
/// # Errors
/// If there are no tokens, their file is damaged, or the options have no counterpart in this program.
pub(super) fn tokenizer(
    path: &Path,
    options: &ImportOptions,
    rows: usize,
    text: Option<(&Value, Option<&str>)>,
    notes: &mut Vec<String>,
) -> Result<Tokenizer> {
    let failed = |path: &Path| {
        let path = path.to_path_buf();
        move |problem: String| Error::file(&path, problem)
    };
    if let (Some((config, lines)), None) = (text, &options.vocabulary) {
        let words = vectorization(config, lines).map_err(failed(path))?;
        note_length(config, notes);
        let words = words.fitted(rows, notes);
        return words.and_then(|words| words.tokenizer(options, notes)).map_err(failed(path));
    }
    let file = vocabulary::file(path, options, rows, notes)?;
    let bytes = regular_file::read(&file, vocabulary::LARGEST)?;
    let words = match keras_tokenizer(&bytes).map_err(failed(&file))? {
        Some(words) => words,
        None => match vocabulary::tokens(&file, &bytes)? {
            Some(tokens) if is_word_index(&tokens) => word_index(tokens, notes),
            _ => return vocabulary::tokenizer(path, options, rows, &mut vec![]),
        },
    };
    words.fitted(rows, notes).and_then(|words| words.tokenizer(options, notes)).map_err(failed(&file))
}

/// Say what becomes of the length that a `TextVectorization` cuts texts to.
fn note_length(config: &Value, notes: &mut Vec<String>) {
    if let Some(length) = config["output_sequence_length"].as_u64() {
        notes.push(format!(
            "Keras reads the first {length} tokens of a text (output_sequence_length); here all are read, so cut texts \
             as for Keras"
        ));
    }
}

/// Whether numbers begin with 1, as those of a Keras `Tokenizer` do.
fn is_word_index(tokens: &BTreeMap<u32, String>) -> bool {
    tokens.first_key_value().is_some_and(|(&number, _)| number == 1)
}

/// Return the words of the `word_index` of a `Tokenizer`. If no word is one that it would have changed, it is taken to
/// have changed text as it does by default.
fn word_index(tokens: BTreeMap<u32, String>, notes: &mut Vec<String>) -> Words {
    let is_special = |token: &str| token.starts_with('<') || token.starts_with('[');
    let is_unchanged =
        |token: &str| token.to_lowercase() == *token && !token.contains(|c| FILTERS.contains(c));
    let changes = tokens.values().any(|token| token.chars().count() > 1)
        && tokens.values().all(|token| is_special(token) || is_unchanged(token));
    if changes {
        notes.push(
            "text is converted to lower case without punctuation, as the Tokenizer of Keras does by default"
                .to_string(),
        );
    }
    let filters = changes.then(|| (FILTERS.to_string(), " "));
    Words { tokens, unknown: None, lower: changes.then_some(Lower::All), filters }
}

/// Read what `Tokenizer.to_json()` of Keras writes; `None` if the file is another.
fn keras_tokenizer(bytes: &[u8]) -> Result<Option<Words>, String> {
    let Ok(value) = serde_json::from_slice::<Value>(bytes) else { return Ok(None) };
    if value["class_name"] != "Tokenizer" {
        return Ok(None);
    }
    let config = &value["config"];
    let index = config["word_index"].as_str().unwrap_or_default();
    let mut tokens =
        vocabulary::of_object(index).map_err(|problem| format!("has a word_index that {problem}"))?;
    let unknown = config["oov_token"].as_str();
    // The Tokenizer reads words of larger numbers as unknown; 0 is no limit.
    if let Some(limit) = config["num_words"].as_f64().filter(|&limit| limit != 0.) {
        tokens.retain(|&number, token| f64::from(number) < limit || Some(token.as_str()) == unknown);
    }
    let is_of_characters = config["char_level"].as_bool().unwrap_or(false);
    if let Some(split) = config["split"].as_str().filter(|split| *split != " " && !is_of_characters) {
        return Err(format!("is a Tokenizer with split {split:?}; expected a blank"));
    }
    // Of characters none is filtered.
    let filters = config["filters"].as_str().filter(|filters| !filters.is_empty() && !is_of_characters);
    Ok(Some(Words {
        tokens,
        unknown: unknown.map(String::from),
        lower: config["lower"].as_bool().unwrap_or(true).then_some(Lower::All),
        filters: filters.map(|filters| (filters.to_string(), " ")),
    }))
}

/// Return the words of a `TextVectorization`.
fn vectorization(config: &Value, lines: Option<&str>) -> Result<Words, String> {
    let refused = |key: &str, expected: &str| {
        Err(format!("has a layer TextVectorization with {key} {}; expected {expected}", config[key]))
    };
    if config["output_mode"].as_str().is_some_and(|mode| mode != "int") {
        return refused("output_mode", "int");
    }
    if !config["ngrams"].is_null() {
        return refused("ngrams", "none");
    }
    if !["whitespace", "character"].contains(&config["split"].as_str().unwrap_or_default()) {
        return refused("split", "whitespace or character");
    }
    let (lower, strip) = match config["standardize"].as_str() {
        Some("lower_and_strip_punctuation") => (true, true),
        Some("lower") => (true, false),
        Some("strip_punctuation") => (false, true),
        None if config["standardize"].is_null() => (false, false),
        _ => return refused("standardize", "lower, strip_punctuation or both"),
    };
    let listed = config["vocabulary"].as_array().map(|tokens| {
        tokens.iter().map(|token| token.as_str().unwrap_or_default().to_string()).collect::<Vec<_>>()
    });
    let lines = || lines.map(|lines| lines.split('\n').map(String::from).collect::<Vec<_>>());
    let mut tokens = listed.or_else(lines).ok_or(
        "has a layer TextVectorization without its vocabulary; give the tokens with option `vocabulary`",
    )?;
    // The list that a user gives may leave out the first two.
    if tokens.first().is_some_and(|token| !token.is_empty() && token != OUTSIDE) {
        tokens.insert(0, OUTSIDE.to_string());
    }
    if tokens.first().is_some_and(|token| token == OUTSIDE) {
        tokens.insert(0, String::new());
    }
    Ok(Words {
        tokens: (0..).zip(tokens).collect(),
        unknown: Some(OUTSIDE.to_string()),
        lower: lower.then_some(Lower::Ascii),
        filters: strip.then(|| (PUNCTUATION.to_string(), "")),
    })
}

impl Words {
    /// Return exactly `rows` words: a `Tokenizer` knows more than it uses, and an embedding may have rows to spare.
    fn fitted(mut self, rows: usize, notes: &mut Vec<String>) -> Result<Self, String> {
        let rows = match u32::try_from(rows) {
            Ok(rows @ 1..) => rows,
            _ => {
                return Err(format!(
                    "has an embedding of {rows} rows; expected at least 1, and no more than 2^32"
                ));
            }
        };
        let spare = self.tokens.split_off(&rows);
        if !spare.is_empty() {
            notes.push(format!(
                "{} of the words have numbers beyond the {rows} rows of the embedding, and are unknown",
                spare.len()
            ));
        }
        let last = self.tokens.last_key_value().map_or(0, |(&number, _)| number);
        if rows - self.tokens.len() as u32 > MOST_SPARE {
            return Err(format!(
                "has {} tokens for an embedding of {rows} rows; expected at most {MOST_SPARE} rows without a token",
                self.tokens.len()
            ));
        }
        if rows - 1 > last {
            notes.push(format!("the last {} rows of the embedding have no token", rows - 1 - last));
        }
        let taken: Vec<String> = self.tokens.values().cloned().collect();
        for number in 0..rows {
            let is_padding = number == 0 && !taken.iter().any(|token| token == PADDING);
            let name = if is_padding { PADDING.to_string() } else { format!("<unused-{number}>") };
            self.tokens.entry(number).or_insert(name);
        }
        Ok(self)
    }

    /// Make a tokenizer. The error is the problem alone.
    fn tokenizer(self, options: &ImportOptions, notes: &mut Vec<String>) -> Result<Tokenizer, String> {
        let Self { tokens, mut unknown, lower, filters } = self;
        if unknown.is_none() && options.unknown.is_none() && Tokenizer::lacks_unknown(&tokens) {
            unknown = tokens.get(&0).cloned();
            notes.push(
                "the words have no oov_token, so Keras leaves out unknown ones; here each is read as token 0, the padding"
                    .to_string(),
            );
        }
        let tokens = vocabulary::distinct(tokens)?;
        let tokenizer = Tokenizer::of_tokens(&tokens, options.unknown.as_deref().or(unknown.as_deref()))?;
        let filters = filters.map(|(characters, other)| {
            let class: String = characters.chars().map(escaped).collect();
            json!({ "type": "Replace", "pattern": { "Regex": format!("[{class}]") }, "content": other })
        });
        let steps: Vec<Value> = lower.map_or(vec![], Lower::steps).into_iter().chain(filters).collect();
        if steps.is_empty() {
            return Ok(tokenizer);
        }
        let text = tokenizer.to_json().map_err(|error| error.to_string())?;
        let mut value: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        value["normalizer"] = json!({ "type": "Sequence", "normalizers": steps });
        Tokenizer::from_json(value.to_string().as_bytes())
    }
}

/// Return a character as it stands inside the brackets of a regular expression.
fn escaped(character: char) -> String {
    match character {
        '\t' => "\\t".to_string(),
        '\n' => "\\n".to_string(),
        '\\' | '[' | ']' | '^' | '-' | '&' | '~' => format!("\\{character}"),
        c => c.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(tokens: &[(u32, &str)]) -> BTreeMap<u32, String> {
        tokens.iter().map(|&(number, token)| (number, token.to_string())).collect()
    }

    #[test]
    fn text_vectorization_converts_ascii_letters_alone() {
        let config = json!({
            "split": "whitespace", "standardize": "lower", "output_sequence_length": 4,
            "vocabulary": ["", "[UNK]", "été", "Été", "cat"],
        });
        let words = vectorization(&config, None).unwrap();
        let tokenizer = words.tokenizer(&ImportOptions::default(), &mut vec![]).unwrap();
        assert_eq!(tokenizer.encode("ÉTé ÉtÉ CAT été").unwrap(), [3, 1, 4, 2]);
        let mut notes = vec![];
        note_length(&config, &mut notes);
        assert!(notes[0].contains("the first 4 tokens"), "{notes:?}");
    }

    #[test]
    fn keras_tokenizer_options_are_followed_or_refused() {
        let read = |options: &str, index: &str| {
            let index = serde_json::to_string(index).unwrap();
            let json =
                format!(r#"{{"class_name": "Tokenizer", "config": {{{options}, "word_index": {index}}}}}"#);
            keras_tokenizer(json.as_bytes())
        };
        let filters = r#""filters": "!,.""#;
        let characters = r#"{"a": 1, ",": 2, "b": 3}"#;
        let words = read(&format!(r#"{filters}, "char_level": true"#), characters).unwrap().unwrap();
        let words = words.fitted(4, &mut vec![]).unwrap();
        let tokenizer = words.tokenizer(&ImportOptions::default(), &mut vec![]).unwrap();
        assert_eq!(tokenizer.encode("a,b").unwrap(), [1, 2, 3]);
        let index = r#"{"the": 1, "cat": 2, "sat": 3}"#;
        for (limit, oov, kept) in
            [("3", "null", 2), ("2", "null", 1), ("2", r#""cat""#, 2), ("0", "null", 3), ("null", "null", 3)]
        {
            let options = format!(r#"{filters}, "num_words": {limit}, "oov_token": {oov}"#);
            assert_eq!(read(&options, index).unwrap().unwrap().tokens.len(), kept, "{options}");
        }
        let words = read(filters, index).unwrap().unwrap();
        let problem = |options: &str, index: &str| read(options, index).err().unwrap();
        assert!(problem(r#""split": ",""#, index).contains("split \",\""));
        for (index, expected) in [
            (r#"{"the": 1, "cat": 1}"#, r#"gives the number 1 to "the" and to "cat""#),
            (r#"{"the": 1, "the": 2}"#, r#"has the token "the" twice, as number 1 and 2"#),
            (r#"{"the": -1}"#, r#"has no number for the token "the""#),
        ] {
            assert!(problem(filters, index).contains(expected), "{index}: {}", problem(filters, index));
        }
        let twice = Words { tokens: self::index(&[(0, "a"), (1, "the"), (2, "the")]), ..words };
        let error = twice.tokenizer(&ImportOptions::default(), &mut vec![]).unwrap_err();
        assert!(error.contains("has the token \"the\" twice"), "{error}");
        let config = json!({ "split": "whitespace", "standardize": null });
        let lines = vectorization(&config, Some("\n[UNK]\nthe\ncat\nthe")).unwrap();
        let error = lines.tokenizer(&ImportOptions::default(), &mut vec![]).unwrap_err();
        assert!(error.contains("has the token \"the\" twice, as number 2 and 4"), "{error}");
        let few = word_index(self::index(&[(1, "the")]), &mut vec![]);
        let error = few.fitted(80_000_000, &mut vec![]).err().unwrap();
        assert!(error.contains("rows without a token"), "{error}");
    }

    #[test]
    fn unknown_words_without_a_token_are_padding() {
        let mut notes = vec![];
        let words = word_index(index(&[(1, "the"), (2, "été")]), &mut notes).fitted(3, &mut notes).unwrap();
        let tokenizer = words.tokenizer(&ImportOptions::default(), &mut notes).unwrap();
        assert_eq!(tokenizer.encode("The ÉTÉ sat").unwrap(), [1, 2, 0]);
        assert!(notes.iter().any(|note| note.contains("each is read as token 0")), "{notes:?}");
        let mut notes = vec![];
        let words = word_index(index(&[(1, "<OOV>"), (2, "the")]), &mut notes).fitted(3, &mut notes).unwrap();
        let tokenizer = words.tokenizer(&ImportOptions::default(), &mut notes).unwrap();
        assert_eq!((tokenizer.encode("the sat").unwrap(), tokenizer.unknown()), (vec![2, 1], Some(1)));
        assert!(!notes.iter().any(|note| note.contains("token 0")), "{notes:?}");
    }
}
