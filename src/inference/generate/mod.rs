//! Text from a trained language model, one token at a time, in memory that does not grow with the text.
//!
//! [`write()`] writes one text. A [`Session`] writes texts side by side that may join and leave at any step; a
//! [`PromptBatch`] writes all texts for a list of prompts in one; [`BeamSearch`] searches for the most probable texts.
//!
//! | file | contents |
//! |---|---|
//! | `session.rs`, `event.rs` | continuous batching of texts |
//! | `text.rs`, `opening.rs`, `batch.rs` | a text and its options; prompts; all texts for a list of prompts |
//! | `write.rs` | one text for one prompt |
//! | `beam.rs` | beam search |
//! | `sample.rs` | samples of text during training |
//! | `sampling.rs`, `best_first.rs` | choice of the next token by its score |
//! | `reader.rs` | the network, reading one token of each text |
//! | `context.rs`, `recent.rs` | what the network has read of a text |
//! | `transcript.rs`, `stop.rs` | tokens to text, up to a stop string |
//! | `saved.rs` | texts in files, to be continued |
//! | `specials.rs`, `finish.rs` | special tokens, ends of texts |

mod batch;
mod beam;
mod best_first;
mod context;
mod event;
mod finish;
#[cfg(test)]
mod fixture;
mod opening;
mod reader;
mod recent;
mod sample;
mod sampling;
mod saved;
mod session;
mod specials;
mod stop;
mod text;
mod transcript;
mod write;

pub use batch::{BatchEvent, PromptBatch};
pub use beam::{BeamSearch, Hypothesis};
pub use context::Context;
pub use event::{Event, TextId};
pub use finish::{Finish, no_candidate};
pub use opening::{Opening, TypedPrompt};
pub use reader::Reader;
pub use recent::Recent;
pub use sample::sample;
pub use sampling::Sampling;
pub use saved::SavedText;
pub use session::Session;
pub use specials::Specials;
pub use stop::StopFilter;
pub use text::{Text, TextOptions, text_rng};
pub use transcript::Transcript;
pub use write::write;
