//! Signs that plain text is in another format.

/// The number of lines that a table must have.
const LINES: usize = 3;

/// The number of lines that sentences in columns must have: verses of as many words as each other are rarely as long.
const ROWS: usize = 12;

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
    if let Some(columns) = columns_of_words(head) {
        return Some(format!(
            "looks like sentences of {columns} columns, a word a line, but {read}; a tagger reads its columns"
        ));
    }
    // Prose rarely has tabs, but may have a comma in each of a few lines.
    let delimiters =
        [('\t', "tabs", "tsv", LINES), (',', "commas", "csv", ROWS), (';', "semicolons", "csv", ROWS)];
    delimiters.into_iter().find_map(|(delimiter, name, extension, least)| {
        let columns = columns_of(head, delimiter, least)?;
        Some(format!(
            "looks like a table of {columns} columns between {name}, but {read}; for records, name it .{extension}"
        ))
    })
}

/// The number of columns between tabs or blanks, if all lines have as many but for the empty ones between sentences,
/// and the last, which may be cut off.
fn columns_of_words(head: &str) -> Option<usize> {
    let whole = head.rsplit_once('\n').map_or("", |(lines, _)| lines);
    let (sentences, rows): (Vec<&str>, Vec<&str>) = whole.lines().partition(|line| line.trim().is_empty());
    let fields = |row: &str| match row.contains('\t') {
        true => row.split('\t').count(),
        false => row.split_ascii_whitespace().count(),
    };
    let columns = rows.first().map(|row| fields(row)).filter(|&columns| columns > 1)?;
    let alike = rows.iter().all(|row| fields(row) == columns);
    (alike && rows.len() >= ROWS && !sentences.is_empty()).then_some(columns)
}

/// The number of columns between delimiters outside quotes, if at least `least` lines, all but the last, which may be
/// cut off, have as many.
fn columns_of(head: &str, delimiter: char, least: usize) -> Option<usize> {
    let whole =
        if head.ends_with('\n') { head } else { head.rsplit_once('\n').map_or("", |(lines, _)| lines) };
    let delimiters = |line: &str| {
        let mut quoted = false;
        let outside = line.chars().filter(|&letter| {
            quoted ^= letter == '"';
            !quoted && letter == delimiter
        });
        outside.count()
    };
    let counts: Vec<usize> = whole.lines().filter(|line| !line.is_empty()).map(delimiters).collect();
    let first = counts.first().copied().filter(|&count| count > 0)?;
    // A sentence has a blank after its comma, the names of columns have none.
    if whole.lines().next().is_some_and(|names| names.contains(&format!("{delimiter} "))) {
        return None;
    }
    let alike = counts.iter().all(|&count| count == first);
    (alike && counts.len() >= least).then_some(first + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_in_disguise_are_noticed() {
        let words = "The DT B\ncat NN I\n\n".repeat(6) + "It PR";
        let tagged = "The\tDT\ncat\tNN\n\n".repeat(6);
        let commas = "id,text,label\n1,\"well, a\",x\n".repeat(7);
        let table = "text\tlabel\na\tx\nb\ty\nc\tx\nd\t";
        for (text, expected) in [
            ("[\n  {\"text\": 1}]", "a JSON array"),
            ("[\"a\", \"b\"]", "a JSON array"),
            ("{\"text\": \"a\"}\n", "name it .jsonl"),
            (table, "a table of 2 columns between tabs"),
            (&commas, "a table of 3 columns between commas"),
            (&words, "sentences of 3 columns"),
            (&tagged, "sentences of 2 columns"),
        ] {
            assert!(looks_like(text).unwrap().contains(expected), "{text}");
        }
        let verses = "O rose\nthou art\n\nsick the\n".repeat(3);
        let few = "Well, then\nyes, well\n".repeat(20);
        for prose in
            [&verses, &few, "", "[1] A footnote.\n", "{ }", "\tindented\n\tlines\nand\nothers\n", "a\tb\n"]
        {
            assert_eq!(looks_like(prose), None, "{prose}");
        }
    }
}
