//! Arguments quoted for a shell.

/// Return the command line of this process, quoted for a shell.
pub(super) fn command_line() -> String {
    let arguments = std::env::args().skip(1).map(|argument| quoted(&argument));
    std::iter::once("rnn".to_string()).chain(arguments).collect::<Vec<_>>().join(" ")
}

/// Return an argument quoted for a shell.
pub(super) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./:=,@+".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_string(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// Return a path quoted for a shell, with `./` in front where it would be taken for a flag.
pub(super) fn quoted_path(path: &str) -> String {
    match path.starts_with('-') {
        true => quoted(&format!("./{path}")),
        false => quoted(path),
    }
}

/// Return a flag with its value, quoted for a shell.
pub(super) fn with_value(flag: &str, value: &str) -> String {
    let separator = if value.starts_with('-') { '=' } else { ' ' };
    format!("{flag}{separator}{}", quoted(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_can_be_typed_whatever_they_begin_with() {
        assert_eq!(quoted_path("-dash"), "./-dash");
        assert_eq!(quoted_path("- dash"), "'./- dash'");
        assert_eq!(quoted_path("runs/m"), "runs/m");
        assert_eq!(with_value("--data", "-x.csv"), "--data=-x.csv");
        assert_eq!(with_value("--data", "it's"), r"--data 'it'\''s'");
        assert_eq!(quoted(""), "''");
    }
}
