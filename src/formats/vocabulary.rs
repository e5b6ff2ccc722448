//! Tokens by number, as other programs store them, and names of classes.
//!
//! | file | content |
//! |---|---|
//! | text | one token a line, the first is number 0 |
//! | JSON list | tokens, the first is number 0 |
//! | JSON object | numbers by token, or tokens by number |
//! | `tokenizer.json` | a tokenizer of the Hugging Face format |

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;

use super::format::ImportOptions;
use crate::error::json_problem;
use crate::tokenizer::Tokenizer;
use crate::{Error, Result, regular_file};

/// The extension of the tokenizer beside an exported file.
pub(super) const BESIDE: &str = "tokenizer.json";

/// The largest file of tokens or labels, in bytes.
pub(super) const LARGEST: u64 = 64 << 20;

/// Read the tokenizer of an embedding with `rows` rows from the file that `options` names, or from the one that an
/// export puts beside the file at `model`.
///
/// # Errors
/// If there is no such file, it is damaged, or it has another number of tokens.
pub(super) fn tokenizer(
    model: &Path,
    options: &ImportOptions,
    rows: usize,
    notes: &mut Vec<String>,
) -> Result<Tokenizer> {
    let path = &file(model, options, rows, notes)?;
    let bytes = regular_file::read(path, LARGEST)?;
    let failed = |problem: String| Error::file(path, problem);
    let tokenizer = match tokens(path, &bytes)? {
        Some(tokens) => {
            let tokenizer = Tokenizer::of_tokens(&tokens, options.unknown.as_deref()).map_err(failed)?;
            if tokenizer.unknown().is_none() {
                notes.push("no token stands for unknown characters; text with others is refused".to_string());
            }
            tokenizer
        }
        None => Tokenizer::from_json(&bytes).map_err(failed)?,
    };
    match tokenizer.vocabulary_size() {
        found if found == rows => Ok(tokenizer),
        found => Err(failed(format!(
            "has {found} tokens, but the embedding has {rows} rows; give the vocabulary that the model was trained with"
        ))),
    }
}

/// Return the file with the tokens of an embedding with `rows` rows: the one that `options` names, or the one that an
/// export puts beside the file at `model`.
///
/// # Errors
/// If there is no such file.
pub(super) fn file(
    model: &Path,
    options: &ImportOptions,
    rows: usize,
    notes: &mut Vec<String>,
) -> Result<PathBuf> {
    let beside = model.with_extension(BESIDE);
    match &options.vocabulary {
        Some(path) => Ok(path.clone()),
        None if beside.exists() => {
            notes.push(format!("read the tokenizer from {}", beside.display()));
            Ok(beside)
        }
        None => {
            let problem = format!(
                "the file has no tokens; name a file with the {rows} tokens of its embedding: one a line, JSON, or a \
                 tokenizer.json"
            );
            Err(Error::invalid("vocabulary", problem))
        }
    }
}

/// Return the tokens of a file by number; `None` if it is a `tokenizer.json`.
pub(super) fn tokens(path: &Path, bytes: &[u8]) -> Result<Option<BTreeMap<u32, String>>> {
    tokens_of_text(text(path, bytes)?).map_err(|problem| Error::file(path, problem))
}

/// As [`tokens`]. The error is the problem alone.
fn tokens_of_text(text: &str) -> Result<Option<BTreeMap<u32, String>>, String> {
    if !text.trim_start().starts_with(['{', '[']) || text.lines().next().is_some_and(is_bracketed) {
        return numbered(text.lines().map(String::from)).map(Some);
    }
    match json(text)? {
        Value::Object(object) if object.get("model").is_some_and(Value::is_object) => Ok(None),
        Value::Object(_) => of_object(text).map(Some),
        Value::Array(list) => {
            let list = list.into_iter().map(|token| match token {
                Value::String(token) => Ok(token),
                other => Err(format!("has the token {other}; expected a list of texts")),
            });
            numbered(list.collect::<Result<Vec<_>, _>>()?.into_iter()).map(Some)
        }
        _ => Err("is JSON, but no list or object of tokens".to_string()),
    }
}

/// Return the tokens of a JSON object, which has numbers by token, or tokens by number. The error is the problem alone.
pub(super) fn of_object(text: &str) -> Result<BTreeMap<u32, String>, String> {
    let Entries(entries) = json(text)?;
    by_number(entries.into_iter().map(|(key, value)| match value {
        Value::String(token) => (key.parse().ok(), token),
        value => (value.as_u64().and_then(|number| number.try_into().ok()), key),
    }))
}

fn json<'t, T: Deserialize<'t>>(text: &'t str) -> Result<T, String> {
    serde_json::from_str(text)
        .map_err(|error| format!("is cut short or not JSON: {}; expected tokens", json_problem(&error)))
}

/// The entries of a JSON object, all of them: of those with the same key, a map keeps the last alone.
struct Entries(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut entries = vec![];
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

/// Whether a line is a token such as `[PAD]`, not the beginning of JSON.
fn is_bracketed(line: &str) -> bool {
    line.starts_with('[') && line.ends_with(']') && serde_json::from_str::<Value>(line).is_err()
}

fn by_number(pairs: impl Iterator<Item = (Option<u32>, String)>) -> Result<BTreeMap<u32, String>, String> {
    let mut tokens = BTreeMap::new();
    for (number, token) in pairs {
        let Some(number) = number else {
            return Err(format!(
                "has no number for the token {token:?}; expected numbers by token, or tokens by number"
            ));
        };
        match tokens.get(&number) {
            None => drop(tokens.insert(number, token)),
            Some(other) if *other == token => {
                return Err(format!("has the token {token:?} twice, each time as number {number}"));
            }
            Some(other) => return Err(format!("gives the number {number} to {other:?} and to {token:?}")),
        }
    }
    distinct(tokens)
}

fn numbered(tokens: impl Iterator<Item = String>) -> Result<BTreeMap<u32, String>, String> {
    distinct((0..).zip(tokens).collect())
}

/// Return the tokens, none of which may have two numbers. The error is the problem alone.
pub(super) fn distinct(tokens: BTreeMap<u32, String>) -> Result<BTreeMap<u32, String>, String> {
    let mut numbers: BTreeMap<&str, u32> = BTreeMap::new();
    for (number, token) in &tokens {
        if let Some(other) = numbers.insert(token, *number) {
            return Err(format!("has the token {token:?} twice, as number {other} and {number}"));
        }
    }
    Ok(tokens)
}

/// Read the names of `outputs` classes or tags from the file that `options` names.
///
/// # Errors
/// If there is no such file, or it has another number of lines or a line twice. One output is a score, of two classes.
pub(super) fn labels(options: &ImportOptions, outputs: usize) -> Result<Vec<String>> {
    let Some(path) = &options.labels else {
        let problem = format!("the file has no names of its {outputs} outputs; name a file with one a line");
        return Err(Error::invalid("labels", problem));
    };
    let bytes = regular_file::read(path, LARGEST)?;
    let labels = numbered(text(path, &bytes)?.lines().map(String::from));
    let labels = labels.map_err(|problem| Error::file(path, problem))?;
    match labels.len() {
        found if found == outputs => Ok(labels.into_values().collect()),
        1 if outputs == 2 => {
            let problem = "has one line; expected two labels, that of scores below 0 first, because a network with one \
                           output is a classifier of two classes; regression is not converted";
            Err(Error::file(path, problem))
        }
        found => Err(Error::file(path, format!("has {found} lines, but the network has {outputs} outputs"))),
    }
}

fn text<'b>(path: &Path, bytes: &'b [u8]) -> Result<&'b str> {
    let text = std::str::from_utf8(bytes);
    let text = text.map_err(|error| Error::file(path, format!("is not UTF-8 text: {error}")))?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, rows: usize) -> Result<Tokenizer> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let options = ImportOptions { vocabulary: Some(file.path().into()), ..ImportOptions::default() };
        tokenizer(Path::new("no/model"), &options, rows, &mut vec![])
    }

    #[test]
    fn all_forms_give_the_same_tokens() {
        for text in [
            "<unk>\n<eos>\nthe\ncat\n",
            "\u{feff}<unk>\r\n<eos>\r\nthe\r\ncat",
            r#"["<unk>", "<eos>", "the", "cat"]"#,
            r#"{"the": 2, "<unk>": 0, "cat": 3, "<eos>": 1}"#,
            r#"{"2": "the", "0": "<unk>", "3": "cat", "1": "<eos>"}"#,
        ] {
            let tokenizer = read(text, 4).unwrap();
            assert_eq!(tokenizer.encode("the cat sat").unwrap(), [2, 3, 0], "{text}");
            assert_eq!((tokenizer.unknown(), tokenizer.end()), (Some(0), Some(1)));
            let again = read(&tokenizer.to_json().unwrap(), 4).unwrap();
            assert_eq!(again.encode("the cat sat").unwrap(), [2, 3, 0], "a tokenizer.json");
        }
        assert_eq!(read("[PAD]\n[UNK]\nthe\n", 3).unwrap().unknown(), Some(1));
    }

    #[test]
    fn characters_are_recognised_and_need_no_unknown_token() {
        let tokenizer = read(r#"["\n", " ", "a", "b"]"#, 4).unwrap();
        assert_eq!(tokenizer.encode("ab a\n").unwrap(), [2, 3, 1, 2, 0]);
        assert_eq!(tokenizer.decode(&[2, 3, 1, 2, 0]), "ab a\n");
        let error = tokenizer.encode("ab\nacC").unwrap_err().to_string();
        assert!(error.contains("the character \"c\" is not in the vocabulary"), "{error}");
        let tokenizer = read(r#"["<unk>", "\n", "a"]"#, 3).unwrap();
        assert_eq!((tokenizer.encode("a\nc").unwrap(), tokenizer.unit()), (vec![2, 1, 0], "character"));
    }

    #[test]
    fn one_output_needs_two_labels() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let options = ImportOptions { labels: Some(file.path().into()), ..ImportOptions::default() };
        std::fs::write(file.path(), "no\nyes\n").unwrap();
        assert_eq!(labels(&options, 2).unwrap(), ["no", "yes"]);
        std::fs::write(file.path(), "no\nno\n").unwrap();
        let error = labels(&options, 2).unwrap_err().to_string();
        assert!(error.contains("\"no\" twice"), "{error}");
        std::fs::write(file.path(), "price\n").unwrap();
        let error = labels(&options, 2).unwrap_err().to_string();
        assert!(
            error.contains("output is a classifier of two classes; regression is not converted"),
            "{error}"
        );
        assert!(
            labels(&options, 3)
                .unwrap_err()
                .to_string()
                .contains("has 1 lines, but the network has 3 outputs")
        );
    }

    #[test]
    fn problems_are_one_line_each() {
        for (text, expected) in [
            ("a b\n<unk>\n", "token \"a b\" contains white space"),
            ("the\ncat\n", "no token for unknown words"),
            ("[UNK]\nthe\n##s\n", "has \"##s\" and other pieces of words"),
            ("[UNK]\n▁the\ns\n", "has \"▁the\" and other pieces of words"),
            ("[UNK]\nthe\nĠsat\n", "has \"Ġsat\" and other pieces of words"),
            ("a\na\n", "has the token \"a\" twice, as number 0 and 1"),
            (r#"{"a": 0, "b": 0}"#, "gives the number 0 to \"a\" and to \"b\""),
            (r#"{"1": "a", "0": "a"}"#, "has the token \"a\" twice, as number 0 and 1"),
            (r#"{"a": 0, "a": 1}"#, "has the token \"a\" twice, as number 0 and 1"),
            (r#"{"a": 0, "a": 0}"#, "has the token \"a\" twice, each time as number 0"),
            (r#"{"0": "a", "0": "b"}"#, "gives the number 0 to \"a\" and to \"b\""),
            (r#"{"a": "b"}"#, "has no number for the token \"b\""),
            (r#"{"a": -1}"#, "has no number for the token \"a\""),
            (r#"{"a": 4294967295}"#, "token number 4294967295 is out of range"),
            (r#"["a", 1]"#, "has the token 1; expected a list of texts"),
            ("{\"a\": 0", "is cut short or not JSON"),
            ("", "has no tokens"),
            ("<unk>\nthe\n", "has 2 tokens, but the embedding has 9 rows"),
        ] {
            let error = read(text, 9).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
            assert_eq!(error.lines().count(), 1, "{error}");
        }
        let missing =
            tokenizer(Path::new("no/model"), &ImportOptions::default(), 9, &mut vec![]).unwrap_err();
        assert!(missing.to_string().contains("name a file with the 9 tokens"), "{missing}");
    }
}
