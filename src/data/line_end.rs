//! Reading of lines that end with `\n`, `\r\n` or `\r`.

use std::io::{self, BufRead};

/// Append the next line with its end to `line`, or the first `most` bytes of a longer one; nothing after the last line.
///
/// # Errors
/// If the reader fails.
pub(super) fn read_line(reader: &mut impl BufRead, most: usize, line: &mut Vec<u8>) -> io::Result<()> {
    while line.len() < most {
        let buffer = reader.fill_buf()?;
        let room = &buffer[..buffer.len().min(most - line.len())];
        let end = room.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
        let used = end.map_or(room.len(), |at| at + 1);
        line.extend_from_slice(&room[..used]);
        reader.consume(used);
        if used == 0 {
            return Ok(());
        }
        if end.is_some() {
            if line.ends_with(b"\r") && reader.fill_buf()?.first() == Some(&b'\n') {
                line.push(b'\n');
                reader.consume(1);
            }
            return Ok(());
        }
    }
    Ok(())
}

/// Return a line without its end.
pub(super) fn without_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    #[test]
    fn lines_are_the_same_wherever_the_buffer_ends() {
        let text = b"a\r\n\nb\r\rc\nd\r";
        for size in 1..=text.len() {
            let mut reader = BufReader::with_capacity(size, &text[..]);
            let mut lines = vec![];
            loop {
                let mut line = vec![];
                read_line(&mut reader, 100, &mut line).unwrap();
                if line.is_empty() {
                    break;
                }
                lines.push(String::from_utf8(without_end(&line).to_vec()).unwrap());
            }
            assert_eq!(lines, ["a", "", "b", "", "c", "d"], "{size}");
        }
    }

    #[test]
    fn long_line_is_cut() {
        let mut line = vec![];
        read_line(&mut &b"abcdef\n"[..], 4, &mut line).unwrap();
        assert_eq!(line, b"abcd");
    }
}
