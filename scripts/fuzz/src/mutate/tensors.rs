//! Mutations of safetensors files: the length of the header, its entries, and the numbers behind it.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use super::json;

/// Mutates one part of a file. A file that is no safetensors file stays.
pub fn mutate(content: Vec<u8>, rng: &mut ChaCha8Rng) -> Vec<u8> {
    let Some((header, numbers)) = split(&content) else { return content };
    let (mut header, mut numbers) = (header, numbers.to_vec());
    match rng.random_range(0..6) {
        0 => {
            let length = [0, 1, 1 << 20, 1 << 40, u64::MAX, content.len() as u64][rng.random_range(0..6)];
            let mut content = content;
            content[..8].copy_from_slice(&length.to_le_bytes());
            return content;
        }
        1 | 2 => change_entry(&mut header, rng),
        3 => json::mutate_value(&mut header, rng),
        4 => {
            let number = [f32::NAN, f32::INFINITY, -f32::INFINITY, f32::MAX, 1e30][rng.random_range(0..5)];
            if let Some(quads) = numbers.len().checked_sub(4) {
                let at = rng.random_range(0..quads / 4 + 1) * 4;
                numbers[at..at + 4].copy_from_slice(&number.to_le_bytes());
            }
        }
        _ => numbers.resize(rng.random_range(0..numbers.len() + 100), 0),
    }
    join(&header, &numbers)
}

/// Changes dtype, shape or offsets of one tensor.
fn change_entry(header: &mut Value, rng: &mut ChaCha8Rng) {
    let Some(entries) = header.as_object_mut().filter(|entries| !entries.is_empty()) else { return };
    let at = rng.random_range(0..entries.len());
    let Some((_, entry)) = entries.iter_mut().nth(at).filter(|(_, entry)| entry.is_object()) else { return };
    let sizes = [json!(0), json!(1), json!(u64::MAX), json!(1u64 << 33), json!(-1), json!(7)];
    let size = || sizes[rng.random_range(0..sizes.len())].clone();
    let mut size = size;
    let (first, second) = (size(), size());
    match rng.random_range(0..5) {
        0 => {
            entry["dtype"] =
                json!(["F64", "F16", "BF16", "I64", "U8", "BOOL", "F8_E4M3", "x"][rng.random_range(0..8)])
        }
        1 => entry["shape"] = json!([first, second]),
        2 => {
            if let Some(shape) = entry["shape"].as_array_mut() {
                shape.reverse();
            }
        }
        3 => entry["shape"] = json!([]),
        _ => entry["data_offsets"] = json!([first, second]),
    }
}

fn split(content: &[u8]) -> Option<(Value, &[u8])> {
    let (length, rest) = content.split_first_chunk::<8>()?;
    let (header, numbers) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    Some((serde_json::from_slice(header).ok()?, numbers))
}

fn join(header: &Value, numbers: &[u8]) -> Vec<u8> {
    let header = header.to_string();
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), numbers].concat()
}
