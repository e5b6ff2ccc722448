//! Mutations of bytes without a structure.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Flips, inserts, deletes, repeats or splices bytes.
pub fn mutate(mut content: Vec<u8>, other: &[u8], rng: &mut ChaCha8Rng) -> Vec<u8> {
    const BYTES: &[u8] = &[0, 1, 0x7f, 0x80, 0xc0, 0xff, b'"', b'\n', b'{', b'[', b'-', b'9'];
    let start = rng.random_range(0..content.len() + 1);
    let end = (start + rng.random_range(0..64)).min(content.len());
    match rng.random_range(0..8) {
        0 => {
            for _ in 0..rng.random_range(1..9) {
                let length = content.len();
                if length > 0 {
                    content[rng.random_range(0..length)] ^= 1 << rng.random_range(0..8);
                }
            }
        }
        1 => content.insert(start, BYTES[rng.random_range(0..BYTES.len())]),
        2 => {
            if start < content.len() {
                content[start] = BYTES[rng.random_range(0..BYTES.len())];
            }
        }
        3 => drop(content.drain(start..end)),
        4 => content.truncate(start),
        5 => {
            let block = content[start..end].repeat(rng.random_range(1..100));
            content.splice(start..start, block).for_each(drop);
        }
        6 => {
            let from = rng.random_range(0..other.len() + 1);
            let to = (from + rng.random_range(0..200)).min(other.len());
            content.splice(start..end, other[from..to].iter().copied()).for_each(drop);
        }
        _ => {
            let random: Vec<u8> = (0..rng.random_range(1..20)).map(|_| rng.random()).collect();
            content.splice(start..end, random).for_each(drop);
        }
    }
    content
}
