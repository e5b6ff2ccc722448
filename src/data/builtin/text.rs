//! The built-in corpora of text as pieces.

use super::{reber, story};
use crate::data::piece::{Piece, Pieces};
use crate::data::source::{Builtin, Split};
use crate::rng::{Purpose, Rng, stream};
use crate::tokenizer::End;

/// Stories in the training split: about four million characters.
const STORIES: usize = 16_000;
/// Stories in each of the other splits.
const STORIES_ASIDE: usize = STORIES / 20;
/// Reber strings in the training split.
pub const TRAINING_STRINGS: usize = 20_000;
/// Reber strings in each of the other splits.
const STRINGS_ASIDE: usize = 1_000;

/// The pieces of one split, drawn from `seed`.
pub fn pieces(builtin: Builtin, seed: u64, split: Split) -> Pieces {
    let purpose = match split {
        Split::Train => Purpose::Train,
        Split::Valid => Purpose::Valid,
        Split::Test => Purpose::Test,
        Split::All => {
            let parts = [Split::Train, Split::Valid, Split::Test];
            return Box::new(parts.into_iter().flat_map(move |part| pieces(builtin, seed, part)));
        }
    };
    let rng = stream(seed, purpose, 0);
    let count = |train, aside| if split == Split::Train { train } else { aside };
    let lines = match builtin {
        Builtin::Reber => reber_lines(rng, count(TRAINING_STRINGS, STRINGS_ASIDE)),
        _ => story_lines(rng, count(STORIES, STORIES_ASIDE)),
    };
    Box::new(lines.map(|text| Ok(Piece { text, label: None, end: End::Line })))
}

fn story_lines(rng: Rng, count: usize) -> Box<dyn Iterator<Item = String> + Send> {
    let lines = |story: String| story.split_inclusive('\n').map(String::from).collect::<Vec<_>>();
    Box::new(story::stories(rng, count).flat_map(lines))
}

fn reber_lines(rng: Rng, count: usize) -> Box<dyn Iterator<Item = String> + Send> {
    Box::new(reber::strings(rng).take(count).map(|string| string + "\n"))
}
