//! Signs that plain text is in another format.

/// The number of lines that a table must have.
const LINES: usize = 3;

/// A note about text that looks like records, from its beginning; `None` for prose.
pub(super) fn looks_like(head: &str) -> Option<String> {
    let start = head.trim_start();
    let after = |open: &str| start.strip_prefix(open).map(str::trim_start);
    let read = "it is read as running text";
    if after("[").is_some_and(|rest| rest.starts_with('{') || rest.starts_with('"')) {
        return Some(format!(
            "looks like a JSON array, but {read}; for records, write one JSON object a line to a .jsonl file"
        ));
    }
    if after("{").is_some_and(|rest| rest.starts_with('"')) {
        return Some(format!("looks like JSON, but {read}; for records, name it .jsonl"));
    }
    columns_of(head).map(|columns| {
        format!("looks like a table of {columns} columns between tabs, but {read}; for records, name it .tsv")
    })
}

/// The number of columns between tabs, if all lines but the last, which may be cut off, have as many.
fn columns_of(head: &str) -> Option<usize> {
    let mut lines: Vec<&str> = head.lines().collect();
    if !head.ends_with('\n') {
        lines.pop();
    }
    let mut tabs = lines.iter().filter(|line| !line.is_empty()).map(|line| line.matches('\t').count());
    let first = tabs.next().filter(|&tabs| tabs > 0)?;
    let mut alike = 1;
    for tabs in tabs {
        if tabs != first {
            return None;
        }
        alike += 1;
    }
    (alike >= LINES).then_some(first + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_in_disguise_are_noticed() {
        let table = "text\tlabel\na\tx\nb\ty\nc\tx\nd\t";
        for (text, expected) in [
            ("[\n  {\"text\": 1}]", "a JSON array"),
            ("[\"a\", \"b\"]", "a JSON array"),
            ("{\"text\": \"a\"}\n", "name it .jsonl"),
            (table, "a table of 2 columns"),
        ] {
            assert!(looks_like(text).unwrap().contains(expected), "{text}");
        }
        for prose in ["", "[1] A footnote.\n", "{ }", "\tindented\n\tlines\nand\nothers\n", "a\tb\n"] {
            assert_eq!(looks_like(prose), None, "{prose}");
        }
    }
}
