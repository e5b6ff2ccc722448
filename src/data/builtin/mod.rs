//! Corpora that need no file and no network: `builtin:NAME` on the command line.
//!
//! | name | task | content |
//! |---|---|---|
//! | [`story`] | language model | small English stories: agreement, quotes and names over distance |
//! | [`reber`] | language model | the embedded Reber grammar: recall one symbol at the end |
//! | [`adding`] | forecast | add two marked numbers of a long sequence |
//! | [`copy`] | tag | repeat symbols after a delay |
//! | [`dates`] | translate | dates as people write them, to `YYYY-MM-DD` |
//!
//! Each is drawn from a [`Rng`](crate::rng::Rng), so the seed determines every byte. `story` and `reber` also
//! compute the lowest possible loss ([`Floor`]), to compare a model's loss with.

pub mod adding;
pub mod copy;
pub mod dates;
mod floor;
mod grammar;
pub mod reber;
pub mod story;
pub mod text;

pub use floor::Floor;
