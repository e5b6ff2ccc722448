//! GPT-2's byte-level alphabet, in which each letter of a token stands for a byte.

use std::collections::HashMap;
use std::sync::LazyLock;

/// The letters that stand for the bytes 0 to 255, in order: printable Latin-1 stands for itself, and the code points
/// from U+0100 on stand for the other bytes.
pub(super) fn letters() -> impl Iterator<Item = char> {
    let mut stand_ins = '\u{100}'..;
    (0..=u8::MAX).map(move |byte| match byte {
        b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF => char::from(byte),
        _ => stand_ins.next().expect("invariant: a range without end"),
    })
}

static BYTE_OF_LETTER: LazyLock<HashMap<char, u8>> = LazyLock::new(|| letters().zip(0..=u8::MAX).collect());

/// Append the bytes that a token spells. A token outside the alphabet, such as a special token of a foreign file, is
/// appended as its own text.
pub(super) fn append_bytes(token: &str, bytes: &mut Vec<u8>) {
    let start = bytes.len();
    for letter in token.chars() {
        match BYTE_OF_LETTER.get(&letter) {
            Some(&byte) => bytes.push(byte),
            None => {
                bytes.truncate(start);
                bytes.extend_from_slice(token.as_bytes());
                return;
            }
        }
    }
}

/// The text of a byte-level token. Bytes that are not a whole character become `\xNN`.
pub(super) fn escaped(token: &str) -> String {
    let mut bytes = vec![];
    append_bytes(token, &mut bytes);
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02X}")));
    }
    text
}
