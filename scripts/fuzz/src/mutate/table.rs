//! Mutations of tables and texts: quotes, delimiters, rows of other lengths, encodings, line ends.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

const TOKENS: &[&str] = &[
    "\"",
    "\"\"",
    ",",
    "\t",
    ";",
    "|",
    "\n",
    "\r",
    "\r\n",
    "\u{feff}",
    "\0",
    "'",
    "\\",
    " ",
    ",,",
    "\u{301}",
    "\u{2028}",
    "\u{1f980}",
    "nan",
    "inf",
    "1e999",
    "-DOCSTART-",
    "<eos>",
    "<unk>",
    "{",
    "[",
];

/// Mutates one place, or the whole.
pub fn mutate(mut content: Vec<u8>, rng: &mut ChaCha8Rng) -> Vec<u8> {
    let mut lines: Vec<Vec<u8>> = content.split(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect();
    let line = rng.random_range(0..lines.len());
    match rng.random_range(0..14) {
        0..4 => {
            let at = rng.random_range(0..content.len() + 1);
            content.splice(at..at, TOKENS[rng.random_range(0..TOKENS.len())].bytes()).for_each(drop);
            return content;
        }
        4 => lines[line] = lines[line].repeat(rng.random_range(2..500)),
        5 => lines[line].clear(),
        6 => drop(lines.drain(..line)),
        7 => lines.truncate(line),
        8 => {
            if let Some(at) = lines[line].iter().position(|&byte| byte == b',') {
                lines[line].truncate([at, at + 1][rng.random_range(0..2)]);
            }
        }
        9 => lines[0] = b"text,text,label,label,".repeat([1, 2, 2000][rng.random_range(0..3)]),
        10 => {
            let text = String::from_utf8_lossy(&content).into_owned();
            let big = rng.random_bool(0.5);
            return text
                .encode_utf16()
                .flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() })
                .collect();
        }
        11 => return content.into_iter().map(|byte| if byte == b'\n' { b'\r' } else { byte }).collect(),
        12 => return [b"\xef\xbb\xbf".as_slice(), &content].concat(),
        _ => {
            let first = lines[0].clone();
            lines.insert(line, first);
        }
    }
    lines.join(&b'\n')
}
