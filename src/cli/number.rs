//! Numbers on the command line: what makes no sense is refused before anything is read.

use rnn_zoo::models::LARGEST_SIZE;

/// A count of at least 1.
pub fn count(text: &str) -> Result<usize, String> {
    read(text, "a whole number of at least 1", |&count| count >= 1)
}

/// A whole number of at least 0.
pub fn whole(text: &str) -> Result<usize, String> {
    read(text, "a whole number of at least 0", |_| true)
}

/// The seed of random numbers.
pub fn seed(text: &str) -> Result<u64, String> {
    read(text, &format!("a whole number from 0 to {}", u64::MAX), |_| true)
}

/// How much of a text is remembered: every state is compared with every one of them.
pub fn memory(text: &str) -> Result<usize, String> {
    read(text, "a whole number from 1 to 100000", |count| (1..=100_000).contains(count))
}

/// The size of a network in one direction: units, features or layers.
pub fn size(text: &str) -> Result<usize, String> {
    read(text, &format!("a whole number from 1 to {LARGEST_SIZE}"), |size| (1..=LARGEST_SIZE).contains(size))
}

/// A share that is never the whole: a dropout of 1 leaves nothing to learn from.
pub fn share(text: &str) -> Result<f64, String> {
    read(text, "a number of at least 0 and below 1", |p| (0. ..1.).contains(p))
}

/// A number of at least 0.
pub fn not_negative(text: &str) -> Result<f64, String> {
    read(text, "a number of at least 0", |x: &f64| *x >= 0. && x.is_finite())
}

/// A number that is neither infinite nor none at all.
pub fn finite(text: &str) -> Result<f64, String> {
    read(text, "a finite number", |x: &f64| x.is_finite())
}

fn read<T: std::str::FromStr>(text: &str, expected: &str, fits: impl Fn(&T) -> bool) -> Result<T, String> {
    text.parse().ok().filter(fits).ok_or_else(|| format!("expected {expected}"))
}

/// Two shares with a comma between them.
pub fn pair(text: &str) -> Result<[f64; 2], String> {
    let (one, other) = text.split_once(',').ok_or("expected two numbers with a comma between them")?;
    Ok([share(one.trim())?, share(other.trim())?])
}
