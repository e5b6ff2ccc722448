//! Detection of a file's character encoding.
//!
//! The order is: a byte-order mark; UTF-8; UTF-16 without a mark, if there are NUL bytes; then the statistics of
//! chardetng, which knows the encodings of the web. If it guesses an encoding of one byte per character, but every
//! pair of bytes beyond ASCII is a Hangul syllable of EUC-KR, the text is Korean.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{EUC_KR, UTF_16BE, UTF_16LE};

use super::encoding::Encoding;
use super::file_reader::read_at;

/// The number of bytes at the start of a file that are checked for UTF-8.
const CHECKED: u64 = 64 << 20;

/// The number of bytes that an encoding is guessed from.
const WINDOW: u64 = 1 << 20;

/// Valid non-ASCII UTF-8 characters that prove a file UTF-8.
const ENOUGH: usize = 10;

/// Different syllables that prove text Korean.
const SYLLABLES: usize = 3;

/// Bytes before the first that is not UTF-8 in the window of a guess.
const BEFORE: u64 = 4096;

/// The result of a detection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Detected {
    /// Text in this encoding, after a byte-order mark of so many bytes.
    Text {
        /// The encoding.
        encoding: Encoding,
        /// The length of the byte-order mark.
        mark: u64,
    },
    /// Text in UTF-32, which is not read.
    Utf32,
    /// Not text in a known encoding.
    Binary,
}

impl Detected {
    fn text(encoding: &'static encoding_rs::Encoding, mark: usize) -> Self {
        Self::Text { encoding: Encoding(encoding), mark: mark as u64 }
    }
}

/// Detect the encoding of a file. UTF-8 is also the answer for text that is UTF-8 except for a few damaged bytes, and
/// for a file whose first bytes that are not UTF-8 are beyond the first 64 MiB.
///
/// # Errors
/// If the file cannot be read.
pub(super) fn detect(file: &File) -> io::Result<Detected> {
    let head = bytes(file, 0, WINDOW)?;
    if is_utf32(&head) {
        return Ok(Detected::Utf32);
    }
    if let Some((encoding, mark)) = encoding_rs::Encoding::for_bom(&head) {
        return Ok(Detected::text(encoding, mark));
    }
    let Some(Foreign { place, before }) = first_foreign(file)? else {
        return Ok(Detected::text(encoding_rs::UTF_8, 0));
    };
    let window = bytes(file, place.saturating_sub(BEFORE), WINDOW)?;
    if head.contains(&0) || window.contains(&0) {
        let utf8 = has_few_nuls(&window).then_some(encoding_rs::UTF_8);
        let found = utf8.or_else(|| utf16(&head));
        return Ok(found.map_or(Detected::Binary, |encoding| Detected::text(encoding, 0)));
    }
    if before >= ENOUGH || is_damaged_utf8(&window) {
        return Ok(Detected::text(encoding_rs::UTF_8, 0));
    }
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
    detector.feed(&window, true);
    let guess = detector.guess(None, Utf8Detection::Deny);
    let encoding = if guess.is_single_byte() && is_hangul(&window) { EUC_KR } else { guess };
    // Text has blanks or punctuation of ASCII in every encoding.
    match window.iter().any(u8::is_ascii) && is_prose(&encoding.decode_without_bom_handling(&window).0) {
        true => Ok(Detected::text(encoding, 0)),
        false => Ok(Detected::Binary),
    }
}

/// Whether the first bytes are UTF-32: each unit of four bytes is a character, of which there are some, and no unit is
/// NUL.
fn is_utf32(head: &[u8]) -> bool {
    let is_text = |unit: fn([u8; 4]) -> u32| {
        let (units, rest) = head.as_chunks::<4>();
        let text = |&bytes: &[u8; 4]| unit(bytes) != 0 && char::from_u32(unit(bytes)).is_some();
        units.len() > 1 && (rest.is_empty() || head.len() as u64 == WINDOW) && units.iter().all(text)
    };
    is_text(u32::from_le_bytes) || is_text(u32::from_be_bytes)
}

/// Whether the first bytes of a file are UTF-8 without NUL.
///
/// # Errors
/// If the file cannot be read.
pub(super) fn is_utf8(file: &File) -> io::Result<bool> {
    let head = bytes(file, 0, WINDOW)?;
    let cut = |error: std::str::Utf8Error| error.error_len().is_none() && head.len() as u64 == WINDOW;
    Ok(!head.contains(&0) && std::str::from_utf8(&head).map_or_else(cut, |_| true))
}

/// Whether the first bytes of a file have characters of UTF-8 beyond ASCII.
///
/// # Errors
/// If the file cannot be read.
pub(super) fn is_foreign(file: &File) -> io::Result<bool> {
    Ok(!bytes(file, 0, WINDOW)?.is_ascii())
}

/// The bytes from `start` on, at most `length`.
fn bytes(file: &File, start: u64, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length as usize];
    let mut filled = 0;
    loop {
        match read_at(file, &mut bytes[filled..], start + filled as u64)? {
            0 => break,
            read => filled += read,
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

/// The first byte that is NUL or not UTF-8.
struct Foreign {
    place: u64,
    /// The number of characters beyond ASCII before it.
    before: usize,
}

/// The first byte that is NUL or not UTF-8, among the bytes that are checked.
fn first_foreign(file: &File) -> io::Result<Option<Foreign>> {
    let (mut start, mut before) = (0, 0);
    while start < CHECKED {
        let window = bytes(file, start, WINDOW)?;
        let is_last = (window.len() as u64) < WINDOW;
        let (text, is_cut) = match std::str::from_utf8(&window) {
            Ok(text) => (text, false),
            Err(error) => {
                let valid = &window[..error.valid_up_to()];
                let text = std::str::from_utf8(valid).expect("invariant: UTF-8 up to the error");
                (text, error.error_len().is_some() || is_last)
            }
        };
        let nul = text.bytes().position(|byte| byte == 0);
        let text = &text[..nul.unwrap_or(text.len())];
        before += text.chars().filter(|c| !c.is_ascii()).count();
        // A code point that the window cuts is read again.
        start += text.len() as u64;
        if is_cut || nul.is_some() {
            return Ok(Some(Foreign { place: start, before }));
        }
        if is_last {
            return Ok(None);
        }
    }
    Ok(None)
}

/// Whether the bytes are UTF-8 with a few NUL bytes, which the reader of the file names.
fn has_few_nuls(window: &[u8]) -> bool {
    let nuls = window.iter().filter(|&&byte| byte == 0).count();
    let cut = |error: std::str::Utf8Error| error.error_len().is_none();
    nuls * 5 <= window.len() && std::str::from_utf8(window).map_or_else(cut, |_| true)
}

/// Whether more of the characters beyond ASCII are UTF-8 than are not.
fn is_damaged_utf8(window: &[u8]) -> bool {
    let (mut valid, mut invalid) = (0, 0);
    for chunk in window.utf8_chunks() {
        valid += chunk.valid().chars().filter(|c| !c.is_ascii()).count();
        invalid += usize::from(!chunk.invalid().is_empty());
    }
    valid > invalid
}

/// The byte order of UTF-16 text without a byte-order mark; `None` if the bytes are no such text.
fn utf16(head: &[u8]) -> Option<&'static encoding_rs::Encoding> {
    let head = &head[..head.len() / 2 * 2];
    let candidates = [UTF_16LE, UTF_16BE].into_iter().filter_map(|encoding| {
        let text = encoding.decode_without_bom_handling(head).0;
        // In the wrong byte order, blanks are rare characters, and some ideographs are letters of ASCII.
        let blanks = text.chars().filter(|c| matches!(c, ' ' | '\n')).count();
        let ascii = text.chars().filter(char::is_ascii).count();
        (ascii > 0 && is_prose(&text)).then_some(((blanks, ascii), encoding))
    });
    candidates.max_by_key(|(key, _)| *key).map(|(_, encoding)| encoding)
}

/// Whether all bytes beyond ASCII are Hangul syllables of EUC-KR, at least [`SYLLABLES`] different ones. Tables with
/// few words are too short for statistics. Letters of other encodings have values beyond the first byte of a syllable.
fn is_hangul(window: &[u8]) -> bool {
    let mut syllables = BTreeSet::new();
    let mut bytes = window.iter().copied();
    while let Some(first) = bytes.next() {
        match first {
            0..=0x7F => {}
            0xB0..=0xC8 => match bytes.next() {
                Some(second @ 0xA1..=0xFE) => drop(syllables.insert([first, second])),
                Some(_) => return false,
                None => break, // the window may end within a syllable
            },
            _ => return false,
        }
    }
    syllables.len() >= SYLLABLES
}

/// Whether decoded bytes look like text: few undecodable, control and private characters, and at least half letters,
/// digits and white space.
fn is_prose(text: &str) -> bool {
    let (mut all, mut bad, mut words) = (0, 0, 0);
    for c in text.chars() {
        let control = c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\x0C');
        all += 1;
        bad += usize::from(control || matches!(c, '\u{FFFD}' | '\u{E000}'..='\u{F8FF}'));
        words += usize::from(c.is_alphanumeric() || c.is_whitespace());
    }
    bad * 50 <= all && words * 2 >= all
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn detected(content: &[u8]) -> Option<&'static str> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        match detect(&file).unwrap() {
            Detected::Text { encoding, .. } => Some(encoding.name()),
            Detected::Utf32 => Some("UTF-32"),
            Detected::Binary => None,
        }
    }

    #[test]
    fn utf32_is_told_from_utf16() {
        for text in ["plain words\n", "날씨가 매우 좋았다 🌞\n"] {
            let little: Vec<u8> = text.chars().flat_map(|c| u32::from(c).to_le_bytes()).collect();
            let big: Vec<u8> = text.chars().flat_map(|c| u32::from(c).to_be_bytes()).collect();
            for content in [&little, &big] {
                assert_eq!(detected(content), Some("UTF-32"));
            }
            assert_eq!(detected(&[&b"\xFF\xFE\0\0"[..], &little].concat()), Some("UTF-32"));
            assert_eq!(detected(&[&b"\0\0\xFE\xFF"[..], &big].concat()), Some("UTF-32"));
        }
    }

    fn encoded(encoding: &'static encoding_rs::Encoding, text: &str) -> Vec<u8> {
        let (bytes, _, unmappable) = encoding.encode(text);
        assert!(!unmappable);
        bytes.into_owned()
    }

    #[test]
    fn encodings_of_several_languages_are_told_apart() {
        let korean = "나는 오늘 학교에 갔다. 날씨가 매우 좋았고 친구들과 함께 점심을 먹었다.\n".repeat(20);
        let french = "Le café déjà vu était très agréable, même l'été à Orléans.\n".repeat(20);
        let japanese =
            "私は今日学校に行きました。天気がとても良かったです。カタカナとひらがな。\n".repeat(20);
        let chinese = "今天我去了学校，天气非常好，我和朋友们一起吃了午饭。\n".repeat(20);
        assert_eq!(detected(korean.as_bytes()), Some("UTF-8"));
        assert_eq!(detected(&encoded(EUC_KR, &korean)), Some("EUC-KR"));
        assert_eq!(detected(&encoded(encoding_rs::WINDOWS_1252, &french)), Some("windows-1252"));
        assert_eq!(detected(&encoded(encoding_rs::SHIFT_JIS, &japanese)), Some("Shift_JIS"));
        assert_eq!(detected(&encoded(encoding_rs::GBK, &chinese)), Some("GBK"));
        for text in [&korean, &french, &chinese] {
            let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
            let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
            assert_eq!((detected(&little), detected(&big)), (Some("UTF-16LE"), Some("UTF-16BE")));
            assert_eq!(detected(&[&b"\xFF\xFE"[..], &little].concat()), Some("UTF-16LE"));
        }
    }

    #[test]
    fn korean_tables_of_few_words_are_euc_kr() {
        let months: String =
            (0..80).map(|n| format!("{}년 {}월,{}\n", 1990 + n / 12, n % 12 + 1, 100 + n)).collect();
        for text in [format!("연월,판매량\n{months}"), "월,값\n1월,5\n2월,6\n날,7\n".repeat(2)] {
            assert_eq!(detected(&encoded(EUC_KR, &text)), Some("EUC-KR"), "{text}");
        }
        let cyrillic = "Месяц,Продажи\n".to_string() + &"1 января,5\nИЮЛЬ,АВГУСТ\n".repeat(9);
        assert_eq!(detected(&encoded(encoding_rs::WINDOWS_1251, &cyrillic)), Some("windows-1251"));
        let portuguese = "INFORMAÇÃO,SITUAÇÕES,Verão,não,já\n".repeat(9);
        assert_eq!(detected(&encoded(encoding_rs::WINDOWS_1252, &portuguese)), Some("windows-1252"));
    }

    #[test]
    fn the_first_foreign_byte_may_be_far_from_the_start() {
        let mut content = "plain words\n".repeat(300_000).into_bytes();
        content.extend(encoded(EUC_KR, &"날씨가 매우 좋았다 ".repeat(50)));
        assert_eq!(detected(&content), Some("EUC-KR"));
        // A code point lies across the windows of the check.
        let shifted = format!("x{}", "한".repeat(1_000_000));
        assert_eq!(detected(shifted.as_bytes()), Some("UTF-8"));
    }

    #[test]
    fn damaged_utf8_is_utf8_and_binary_is_refused() {
        assert_eq!(detected("한글".repeat(9).as_bytes().split_last().unwrap().1), Some("UTF-8"));
        assert_eq!(detected(&["한글 ".repeat(9).as_bytes(), b"\xFF"].concat()), Some("UTF-8"));
        let noise: Vec<u8> = (0..4096_u32).map(|n| (n * 7919 % 251) as u8).collect();
        let without_nul: Vec<u8> = noise.iter().copied().filter(|&byte| byte > 0).collect();
        for binary in [noise, without_nul, vec![0; 4096], vec![0x80; 100]] {
            assert_eq!(detected(&binary), None);
        }
    }
}
