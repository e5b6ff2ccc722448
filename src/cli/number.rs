//! Parsers of numbers on the command line.

use rnn_zoo::models::{LARGEST_SIZE, MOST_LAYERS};

/// Parse a count of at least 1.
pub fn count(text: &str) -> Result<usize, String> {
    read(text, &least(text, 1), |&count| count >= 1)
}

/// Parse a number of occurrences, at least 1.
pub fn occurrences(text: &str) -> Result<u64, String> {
    read(text, &least(text, 1), |&count| count >= 1)
}

/// A whole number of at least `least`, with the upper limit if `text` is beyond it.
fn least(text: &str, least: usize) -> String {
    match !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<usize>().is_err()
    {
        true => format!("a whole number from {least} to {}", usize::MAX),
        false => format!("a whole number of at least {least}"),
    }
}

/// A whole number of at least 0.
pub fn whole(text: &str) -> Result<usize, String> {
    read(text, &least(text, 0), |_| true)
}

/// The seed of random numbers.
pub fn seed(text: &str) -> Result<u64, String> {
    read(text, &format!("a whole number from 0 to {}", u64::MAX), |_| true)
}

/// Parse the size of a neural cache. Its cost grows with the size: every state is compared with all cached ones.
pub fn memory(text: &str) -> Result<usize, String> {
    read(text, "a whole number from 1 to 100000", |count| (1..=100_000).contains(count))
}

/// Parse a number of repeated measurements, at most 100,000.
pub fn repetitions(text: &str) -> Result<usize, String> {
    read(text, "a whole number from 1 to 100000", |count| (1..=100_000).contains(count))
}

/// Parse a number of layers.
pub fn layers(text: &str) -> Result<usize, String> {
    read(text, &format!("a whole number from 1 to {MOST_LAYERS}"), |layers| {
        (1..=MOST_LAYERS).contains(layers)
    })
}

/// Parse a number of units or features.
pub fn size(text: &str) -> Result<usize, String> {
    read(text, &format!("a whole number from 1 to {LARGEST_SIZE}"), |size| (1..=LARGEST_SIZE).contains(size))
}

/// Parse a number of units or features, 0 for none.
pub fn size_or_none(text: &str) -> Result<usize, String> {
    read(text, &format!("a whole number from 0 to {LARGEST_SIZE}"), |&size| size <= LARGEST_SIZE)
}

/// Parse a share of at least 0 and below 1, such as a dropout.
pub fn share(text: &str) -> Result<f64, String> {
    read(text, "a number of at least 0 and below 1", |p| (0. ..1.).contains(p))
}

/// Parse the level of a quantile.
pub fn level(text: &str) -> Result<f64, String> {
    read(text, "a number above 0 and below 1", |p: &f64| *p > 0. && *p < 1.)
}

/// Parse a finite number of at least 0.
pub fn not_negative(text: &str) -> Result<f64, String> {
    read(text, "a number of at least 0", |x: &f64| *x >= 0. && x.is_finite())
}

/// Parse a finite number.
pub fn finite(text: &str) -> Result<f64, String> {
    read(text, "a finite number", |x: &f64| x.is_finite())
}

fn read<T: std::str::FromStr>(text: &str, expected: &str, fits: impl Fn(&T) -> bool) -> Result<T, String> {
    text.parse().ok().filter(fits).ok_or_else(|| format!("expected {expected}"))
}

/// Parse two shares with a comma between them.
pub fn pair(text: &str) -> Result<[f64; 2], String> {
    let (one, other) = text.split_once(',').ok_or("expected two numbers with a comma between them")?;
    Ok([share(one.trim())?, share(other.trim())?])
}
