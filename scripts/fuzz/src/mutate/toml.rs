//! Mutations of TOML, line by line.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::flags::{Manual, pick, text};

const VALUES: &[&str] = &[
    "1",
    "-1",
    "0",
    "nan",
    "inf",
    "1e400",
    "99999999999999999999",
    "9223372036854775807",
    "true",
    "\"\"",
    "\"x\"",
    "[]",
    "[1, 2]",
    "{ a = 1 }",
    "2026-01-01",
    "'''a\nb'''",
    "0.5",
    "\"-1\"",
    "[[",
    "\"\\u0000\"",
];

/// Mutates one line, or adds one.
pub fn mutate(content: &[u8], manual: &Manual, rng: &mut ChaCha8Rng) -> Vec<u8> {
    let content = String::from_utf8_lossy(content);
    let mut lines: Vec<String> = content.lines().map(str::to_string).collect();
    let settings: Vec<usize> = (0..lines.len()).filter(|&line| lines[line].contains(" = ")).collect();
    let line = if settings.is_empty() { 0 } else { settings[rng.random_range(0..settings.len())] };
    let (key, value) =
        lines.get(line).and_then(|line| line.split_once(" = ")).unwrap_or(("model", "\"lstm\""));
    let new = match rng.random_range(0..8) {
        0 | 1 => format!("{key} = {}", pick(VALUES, rng)),
        2 => format!("{} = {value}", manual.setting(rng)),
        3 => format!("{key} = {value}\n{key} = {value}"),
        4 => format!("{key} = {value}\n{} = {}", manual.setting(rng), pick(VALUES, rng)),
        5 => format!("{key} = {:?}", text(rng)),
        6 => format!("[{}]\n{key} = {value}", ["a", "", "[a]", "model", "a.b"][rng.random_range(0..5)]),
        _ => format!("{key} = {}1{}", "[".repeat(5000), "]".repeat(5000)),
    };
    match lines.get_mut(line) {
        Some(line) => *line = new,
        None => lines.push(new),
    }
    lines.join("\n").into_bytes()
}
