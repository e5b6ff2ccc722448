//! Seeded randomness whose exact position can be saved and restored.
//!
//! Candle's CPU generator refuses a seed, so every random number that training or sampling uses
//! comes from here: ChaCha8, whose output is the same on every platform.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::{Deserialize, Serialize};

/// The generator behind initialisation, dropout, shuffling and sampling.
pub type Rng = ChaCha8Rng;

/// Independent uses of one seed, so that drawing more of one never shifts another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Purpose {
    /// Initial parameters.
    Parameters = 1,
    /// Dropout masks and other noise of training.
    Noise = 2,
    /// The order of examples; one sub-stream an epoch.
    Shuffle = 3,
    /// Sampling from a trained model.
    Sampling = 4,
    /// The training split of a built-in corpus.
    Train = 5,
    /// The validation split of a built-in corpus.
    Valid = 6,
    /// The test split of a built-in corpus.
    Test = 7,
    /// The lengths of training's windows; one sub-stream an epoch.
    Windows = 8,
    /// The division of records into train, valid and test.
    Split = 9,
}

/// Return the generator of `seed` for one purpose. `index` tells uses of the same purpose apart: the epoch
/// of a shuffle, the number of a sample.
pub fn stream(seed: u64, purpose: Purpose, index: u64) -> Rng {
    let mut rng = Rng::seed_from_u64(seed);
    rng.set_stream((purpose as u64) << 56 | index);
    rng
}

/// A generator's position, as kept in a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    seed: [u8; 32],
    stream: u64,
    /// 32-bit words drawn so far; a decimal string, because JSON numbers are exact only to 2^53.
    word: String,
}

impl From<&Rng> for Position {
    fn from(rng: &Rng) -> Self {
        Self { seed: rng.get_seed(), stream: rng.get_stream(), word: rng.get_word_pos().to_string() }
    }
}

impl Position {
    /// Return the generator that continues from here; `None` if the word position is not a number.
    pub fn restore(&self) -> Option<Rng> {
        let mut rng = Rng::from_seed(self.seed);
        rng.set_stream(self.stream);
        rng.set_word_pos(self.word.parse().ok()?);
        Some(rng)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngExt;

    #[test]
    fn a_restored_generator_continues_where_it_stopped() {
        let mut rng = stream(7, Purpose::Noise, 3);
        for _ in 0..1001 {
            rng.random::<u32>();
        }
        let json = serde_json::to_string(&Position::from(&rng)).unwrap();
        let mut restored = serde_json::from_str::<Position>(&json).unwrap().restore().unwrap();
        let ahead: Vec<u64> = (0..64).map(|_| rng.random()).collect();
        let resumed: Vec<u64> = (0..64).map(|_| restored.random()).collect();
        assert_eq!(ahead, resumed);
    }

    #[test]
    fn purposes_and_indices_differ() {
        let first = |purpose, index| stream(1, purpose, index).random::<u64>();
        assert_ne!(first(Purpose::Noise, 0), first(Purpose::Shuffle, 0));
        assert_ne!(first(Purpose::Shuffle, 0), first(Purpose::Shuffle, 1));
    }
}
