//! Texts that are answered side by side, up to the first that fails.

use std::slice::from_ref;

use rnn_zoo::Error;

use super::texts::STANDARD_INPUT;

/// Answer texts side by side. Return the answers to the texts before the first that fails, and its error.
pub(super) fn up_to_error<T>(
    texts: &[String],
    mut answer: impl FnMut(&[String]) -> Result<Vec<T>, Error>,
) -> (Vec<T>, Option<Error>) {
    let error = match answer(texts) {
        Ok(answers) => return (answers, None),
        Err(error) => error,
    };
    let mut answers = vec![];
    for text in texts {
        match answer(from_ref(text)) {
            Ok(found) => answers.extend(found),
            Err(error) => return (answers, Some(error)),
        }
    }
    // Together the texts may need more memory than alone.
    let failed = texts.is_empty().then_some(error);
    (answers, failed)
}

/// The error about the text with that number, counted from 1, in a file; `unit` is the noun for a text.
pub(super) fn at_text(file: &str, unit: &str, number: usize, error: Error) -> Error {
    let problem = match error {
        error @ Error::Unsuited { .. } => return error, // about the model, whatever the text
        Error::Message(problem) => problem,
        error => error.to_string(),
    };
    let file = if file == "-" { STANDARD_INPUT } else { file };
    Error::file(file, format!("{unit} {number}: {problem}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lengths of texts, which must be in lower case and at most `most` together.
    fn lengths(texts: &[String], most: usize) -> Result<Vec<usize>, Error> {
        match texts.len() > most || texts.iter().any(|text| text.contains(char::is_uppercase)) {
            true => Err(Error::Message("no".into())),
            false => Ok(texts.iter().map(String::len).collect()),
        }
    }

    #[test]
    fn answers_before_the_first_error_are_kept() {
        let texts = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
        for (given, most, expected, fails) in [
            (texts(&["a", "bc"]), 9, vec![1, 2], false),
            (texts(&["a", "B", "cd"]), 9, vec![1], true),
            (texts(&["A"]), 9, vec![], true),
            (texts(&["a", "bc"]), 1, vec![1, 2], false),
            (texts(&[]), 9, vec![], false),
        ] {
            let (found, error) = up_to_error(&given, |texts| lengths(texts, most));
            assert_eq!((found, error.is_some()), (expected, fails), "{given:?}");
        }
        assert!(up_to_error(&[], |_| Err::<Vec<()>, _>(Error::Message("no".into()))).1.is_some());
    }
}
