//! Mutations of JSON: values of wrong types and sizes, lost, renamed and doubled entries, deep nesting.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

/// Stands for deeply nested arrays, which a [`Value`] could not hold.
const DEEP: &str = "\u{1}deep";

/// Mutates one value of a document. Text that is no JSON stays.
pub fn mutate(content: &[u8], rng: &mut ChaCha8Rng) -> Vec<u8> {
    let Ok(mut document) = serde_json::from_slice::<Value>(content) else { return content.to_vec() };
    let chosen = rng.random_range(0..count(&document));
    change(&mut document, &mut { chosen }, rng);
    let depth = [100, 1000, 20_000, 1_000_000][rng.random_range(0..4)];
    let (open, close) = [("[", "]"), ("{\"a\":", "}")][rng.random_range(0..2)];
    let deep = || format!("{}0{}", open.repeat(depth), close.repeat(depth));
    let text = document.to_string();
    let mark = json!(DEEP).to_string();
    match text.contains(&mark) {
        true => text.replace(&mark, &deep()).into_bytes(),
        false => text.into_bytes(),
    }
}

/// Mutates one line of a file of documents.
pub fn mutate_line(content: &[u8], rng: &mut ChaCha8Rng) -> Vec<u8> {
    let mut lines: Vec<Vec<u8>> = content.split(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect();
    let line = rng.random_range(0..lines.len());
    lines[line] = mutate(&lines[line], rng);
    lines.join(&b'\n')
}

/// Mutates one value in place.
pub fn mutate_value(document: &mut Value, rng: &mut ChaCha8Rng) {
    let mut chosen = rng.random_range(0..count(document));
    change(document, &mut chosen, rng);
}

/// The number of values in a document, itself among them.
fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(entries) => entries.values().map(count).sum(),
        _ => 0,
    }
}

/// Changes the value that `chosen` counts down to. Returns whether it was found.
fn change(value: &mut Value, chosen: &mut usize, rng: &mut ChaCha8Rng) -> bool {
    if *chosen == 0 {
        match rng.random_bool(0.5) {
            true => reshape(value, rng),
            false => *value = strange(rng),
        }
        return true;
    }
    *chosen -= 1;
    match value {
        Value::Array(items) => items.iter_mut().any(|item| change(item, chosen, rng)),
        Value::Object(entries) => entries.values_mut().any(|entry| change(entry, chosen, rng)),
        _ => false,
    }
}

/// Keeps the type of a value and changes its content.
fn reshape(value: &mut Value, rng: &mut ChaCha8Rng) {
    match value {
        Value::Array(items) if !items.is_empty() => {
            let at = rng.random_range(0..items.len());
            match rng.random_range(0..3) {
                0 => drop(items.remove(at)),
                1 => items.push(items[at].clone()),
                _ => items.swap(0, at),
            }
        }
        Value::Object(entries) if !entries.is_empty() => {
            let at = rng.random_range(0..entries.len());
            let name = entries.keys().nth(at).cloned().unwrap_or_default();
            let entry = entries.remove(&name).unwrap_or_default();
            match rng.random_range(0..3) {
                0 => {}
                1 => drop(entries.insert(format!("{name}x"), entry)),
                _ => drop(
                    [("", entry.clone()), (&name, entry)]
                        .map(|(name, entry)| entries.insert(name.into(), entry)),
                ),
            }
        }
        Value::Number(number) => {
            let old = number.as_f64().unwrap_or_default();
            *value = match rng.random_range(0..5) {
                0 => json!(old + 1.),
                1 => json!(old as i64 + 1),
                2 => json!(-old),
                3 => json!(old as i64 * 2),
                _ => json!(old as i64 - 1),
            };
        }
        Value::String(text) => match rng.random_range(0..3) {
            0 => text.push('x'),
            1 => drop(text.pop()),
            _ => *text = text.repeat(3),
        },
        Value::Bool(flag) => *flag = !*flag,
        _ => *value = strange(rng),
    }
}

/// A value that does not belong there.
fn strange(rng: &mut ChaCha8Rng) -> Value {
    match rng.random_range(0..18) {
        0 => Value::Null,
        1 => json!(true),
        2 => json!(-1),
        3 => json!(0),
        4 => json!(1e308),
        5 => json!(u64::MAX),
        6 => json!(i64::MIN),
        7 => json!(1u64 << 40),
        8 => json!(0.5),
        9 => json!(""),
        10 => json!("x".repeat(rng.random_range(1..100_000))),
        11 => json!([]),
        12 => json!({}),
        13 => json!([[1, 2], "a", null]),
        14 => json!({"type": "x"}),
        15 => json!("\u{1f980}\u{0}\n"),
        16 => json!(70_000),
        _ => json!(DEEP),
    }
}
