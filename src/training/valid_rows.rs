//! The number of batch rows that validation cuts running text into.

use super::splits::Splits;
use crate::data::dataset::Dataset;

/// The most rows, which are the fastest.
const MOST: usize = 16;

/// The fewest tokens of a row. Each row starts from a state of zero, which raises the loss of its first tokens, so the
/// loss of short rows is higher than that of a single one.
const SHORTEST: usize = 1000;

/// The number of rows of a run of an older version, whose checkpoint has none.
pub(super) fn of_older_runs() -> usize {
    MOST
}

/// The number of rows for the validation data of a new run.
pub(super) fn of(splits: &Splits) -> usize {
    match &splits.valid {
        Some(Dataset::Stream { tokens, .. }) => (tokens.len() as usize / SHORTEST).clamp(1, MOST),
        Some(Dataset::Examples(_)) | None => MOST,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::tokens::SplitTokens;

    #[test]
    fn short_text_is_cut_into_fewer_rows() {
        for (tokens, rows) in [(10, 1), (1999, 1), (2000, 2), (15_999, 15), (16_000, 16), (100_000, 16)] {
            let stream = |count| Dataset::Stream { tokens: SplitTokens::from_ids(&vec![0; count]), start: 0 };
            let splits = Splits { train: stream(1), valid: Some(stream(tokens)) };
            assert_eq!(of(&splits), rows, "{tokens} tokens");
        }
    }
}
