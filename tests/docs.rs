//! README and docs/ are true: commands parse, those on files of the tree work, links lead somewhere, scripts exist.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The largest README, in bytes: one page.
const LARGEST_README: u64 = 9 * 1024;

/// The most characters of a line.
const WIDEST_LINE: usize = 120;

/// Commands without `--device`, which the test runs with `--help`.
const WITHOUT_DEVICE: [&str; 8] = ["completions", "convert", "data", "export", "list", "man", "plot", "push"];

/// A device that does not exist. Commands open the device first, so they end before they read or write anything.
const NO_DEVICE: &str = "no-such-device";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The pages of the project, with their text.
fn pages() -> Vec<(PathBuf, String)> {
    let docs = std::fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let docs = docs.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    let mut paths: Vec<PathBuf> = docs.collect();
    paths.extend(["README.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(|name| root().join(name)));
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), std::fs::read_to_string(path).unwrap())).collect()
}

/// The text outside fenced blocks, and the blocks by language.
fn split_fences(text: &str) -> (String, Vec<(String, String)>) {
    let (mut prose, mut blocks, mut open) = (String::new(), vec![], None);
    for line in text.lines() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(language), None) => open = Some((language.to_string(), String::new())),
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (None, Some((_, block))) => *block += &format!("{line}\n"),
            (None, None) => prose += &format!("{line}\n"),
        }
    }
    (prose, blocks)
}

#[test]
fn blocks_of_commands_are_marked() {
    for (page, text) in pages() {
        for (language, block) in split_fences(&text).1 {
            let is_unmarked = language.is_empty() && block.lines().any(|line| line.starts_with("rnn "));
            assert!(!is_unmarked, "{}: a block of commands begins with ```sh:\n{block}", page.display());
        }
    }
}

/// The code spans of prose.
fn spans(prose: &str) -> Vec<&str> {
    prose.lines().flat_map(|line| line.split('`').skip(1).step_by(2)).collect()
}

/// The words of each simple command in a line of shell, without comments and redirections.
fn shell_words(line: &str) -> Vec<Vec<String>> {
    let (mut commands, mut word, mut quote) = (vec![vec![]], None::<String>, None);
    for c in line.chars().chain(['\n']) {
        let command: &mut Vec<String> = commands.last_mut().unwrap();
        match (c, quote) {
            (_, Some(mark)) if c == mark => quote = None,
            (_, Some(_)) => word.get_or_insert_default().push(c),
            ('\'' | '"', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            ('#', None) if word.is_none() => break,
            ('|' | '&' | ';', None) => {
                command.extend(word.take());
                commands.push(vec![]);
            }
            (_, None) if c.is_whitespace() => command.extend(word.take()),
            (_, None) => word.get_or_insert_default().push(c),
        }
    }
    for command in &mut commands {
        if let Some(at) = command.iter().position(|word| word.starts_with(['>', '<'])) {
            command.truncate(at);
        }
    }
    commands.retain(|command| !command.is_empty());
    commands
}

/// A use of `rnn` on a page.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Usage {
    arguments: Vec<String>,
    /// Whether the command is whole: code spans may leave out required arguments.
    whole: bool,
}

/// Every use of `rnn` on a page: in blocks of shell, after `$` in blocks of text, and in code spans.
fn usages(text: &str) -> BTreeSet<Usage> {
    let (prose, blocks) = split_fences(text);
    let mut lines: Vec<(String, bool)> = spans(&prose).into_iter().map(|span| (span.into(), false)).collect();
    for (language, block) in blocks {
        let block = block.replace("\\\n", " ");
        let commands = block.lines().filter_map(|line| match language.as_str() {
            "sh" => Some(line),
            "text" => line.strip_prefix("$ "),
            _ => None,
        });
        lines.extend(commands.map(|line| (line.to_string(), true)));
    }
    let mut usages = BTreeSet::new();
    for (line, whole) in lines {
        for words in shell_words(&line) {
            // `cargo run --release -- train` is the same program.
            let program = match words[0].as_str() {
                "rnn" => 1,
                "cargo" if words.get(1).is_some_and(|word| word == "run") => {
                    words.iter().position(|word| word == "--").map_or(words.len(), |at| at + 1)
                }
                _ => continue,
            };
            let arguments = words[program..].to_vec();
            if arguments.first().is_some_and(|command| command.starts_with(char::is_lowercase)) {
                usages.insert(Usage { arguments, whole });
            }
        }
    }
    usages
}

/// The problem of a command, if it cannot be used as it is written. Nothing is trained: a whole command with a device
/// ends at a device that does not exist, and others print their help.
fn problem(folder: &Path, usage: &Usage) -> Option<String> {
    let opens_device = usage.whole && !WITHOUT_DEVICE.contains(&usage.arguments[0].as_str());
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("rnn"));
    command.current_dir(folder).args(&usage.arguments);
    match opens_device {
        true => command.args(["--device", NO_DEVICE]),
        false => command.arg("--help"),
    };
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let understood = match opens_device {
        true => output.status.code() == Some(2) && stderr.contains(NO_DEVICE),
        false => output.status.success(),
    };
    (!understood).then_some(stderr)
}

#[test]
fn commands_parse() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("my-gru")).unwrap();
    std::fs::write(folder.path().join("my-gru/recipe.toml"), "model = \"gru\"\ntied = true\n").unwrap();
    let mut count = 0;
    // CHANGELOG.md has forms of commands, with brackets.
    for (path, text) in pages().into_iter().filter(|(path, _)| !path.ends_with("CHANGELOG.md")) {
        for usage in usages(&text) {
            if let Some(problem) = problem(folder.path(), &usage) {
                panic!("{}: `rnn {}` does not parse: {problem}", path.display(), usage.arguments.join(" "));
            }
            count += 1;
        }
    }
    assert!(count > 100, "only {count} commands were found");
}

#[test]
fn commands_on_files_of_the_tree_work() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("examples/data");
    std::fs::create_dir_all(&data).unwrap();
    for file in std::fs::read_dir(root().join("examples/data")).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), data.join(file.file_name())).unwrap();
    }
    let guide = std::fs::read_to_string(root().join("docs/guide.md")).unwrap();
    let blocks = split_fences(&guide).1.into_iter().filter(|(language, _)| language == "sh");
    let lines = blocks.map(|(_, block)| block.replace("\\\n", " ")).collect::<String>();
    let mut files = BTreeSet::new();
    for words in lines.lines().flat_map(shell_words).filter(|words| words[0] == "rnn") {
        let file = words.iter().find(|word| word.starts_with("examples/data/"));
        // A bundle that an earlier command made.
        let bundle = words.get(2).is_some_and(|name| folder.path().join(name).join("config.json").exists());
        if file.is_none() && !bundle {
            continue;
        }
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("rnn"));
        let output = command.current_dir(folder.path()).args(&words[1..]).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "`{}`: {stderr}", words.join(" "));
        files.extend(file.cloned());
    }
    assert_eq!(files.len(), std::fs::read_dir(&data).unwrap().count(), "only {files:?} are used");
}

#[test]
fn wrong_commands_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let whole = [
        "train lstm --no-such-flag",
        "generate",
        "train lstm --hidden many",
        "plot m --x sideways",
        "eval m --data x --dynamic --cache 5",
    ];
    let block: String = whole.iter().map(|line| format!("rnn {line}\n")).collect();
    let usages = usages(&format!("```sh\n{block}```\nand `rnn eval --split none`\n"));
    assert_eq!(usages.len(), 6);
    for usage in usages {
        assert!(problem(folder.path(), &usage).is_some(), "{:?}", usage.arguments);
    }
}

#[test]
fn shell_lines_are_split_into_commands() {
    let line = "cat a | rnn score m 'b c' > out # and so on";
    assert_eq!(shell_words(line), [vec!["cat", "a"], vec!["rnn", "score", "m", "b c"]]);
}

/// The targets of the links and pictures of a page.
fn links(prose: &str) -> Vec<&str> {
    let targets = prose.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    targets.map(|(target, _)| target).collect()
}

/// The anchors of a page, one for each heading.
fn anchors(text: &str) -> Vec<String> {
    let headings = split_fences(text).0;
    let headings = headings.lines().filter_map(|line| line.strip_prefix('#'));
    let anchor = |heading: &str| {
        let heading = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn relative_links_lead_to_files_and_headings() {
    for (path, text) in pages() {
        for link in links(&split_fences(&text).0) {
            if link.contains("://") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
            assert!(target.exists(), "{}: {link} leads to no file", path.display());
            if !anchor.is_empty() {
                let headings = anchors(&std::fs::read_to_string(&target).unwrap());
                assert!(
                    headings.iter().any(|heading| heading == anchor),
                    "{}: no heading {link}",
                    path.display()
                );
            }
        }
    }
}

#[test]
fn scripts_and_sources_that_pages_name_exist() {
    const FOLDERS: [&str; 8] =
        ["docs/", "examples/", "models/", "scripts/", "src/", "tests/", "weights/", ".ci/"];
    for (path, text) in pages() {
        for span in spans(&split_fences(&text).0) {
            let file = span.split(' ').next().unwrap_or_default();
            // Words in capitals stand for names.
            let is_form = file.contains("NAME");
            if FOLDERS.iter().any(|folder| file.starts_with(folder)) && !is_form {
                assert!(root().join(file).exists(), "{}: there is no {file}", path.display());
            }
        }
    }
}

#[test]
fn the_readme_is_one_page() {
    let size = std::fs::metadata(root().join("README.md")).unwrap().len();
    assert!(size <= LARGEST_README, "README.md has {size} bytes; expected at most {LARGEST_README}");
}

fn read(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap()
}

#[test]
fn the_readme_has_the_geometric_means_of_the_measurements() {
    let (readme, speed) = (read("README.md"), read("docs/speed.md"));
    for row in ["simple-rnn", "lstm", "gru", "language model"] {
        let means: Vec<f64> = table_rows(&readme)
            .find(|cells| cells[0] == row)
            .map_or(vec![], |cells| cells[1..].iter().filter_map(|cell| cell.parse().ok()).collect());
        let ratios = ratios_by_peer(&speed, row);
        assert_eq!(means.len(), ratios.len(), "{row}");
        for (mean, ratios) in means.iter().zip(ratios) {
            let expected = (ratios.iter().map(|ratio| ratio.ln()).sum::<f64>() / ratios.len() as f64).exp();
            assert!(
                (mean - expected).abs() < 0.006,
                "{row}: {mean} in README.md, {expected} in docs/speed.md"
            );
        }
    }
}

#[test]
fn the_readme_has_the_means_in_bf16_and_int8() {
    let speed = read("docs/speed.md");
    // The means of the table whose first column is called so, in the order of its other columns.
    let means = |table: &str| -> Vec<f64> {
        let rows = table_rows(&speed).skip_while(|cells| cells[0] != table);
        let mut means = rows.filter(|cells| cells[0] == "**geometric mean**");
        means.next().unwrap()[1..].iter().filter_map(|mean| mean.parse().ok()).collect()
    };
    let (bf16, int8) = (means("a layer in bf16, forward and backward"), means("a layer in int8, forward"));
    let sentence = format!(
        "In bf16 on AMX, layers train {:.1} times as fast as PyTorch's in bf16, and int8 layers run {:.1} times as \
         fast as PyTorch's and {:.1} times as fast as ONNX Runtime's.",
        bf16[0], int8[0], int8[1]
    );
    let readme = read("README.md").split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(readme.contains(&sentence), "{sentence}");
}

/// The cells of every row of the tables in `text`.
fn table_rows(text: &str) -> impl Iterator<Item = Vec<&str>> {
    let rows = text.lines().filter(|line| line.starts_with('|'));
    rows.map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
}

/// The ratios in the tables of docs/speed.md that belong to a row of README's table, by peer, without peers that have
/// none.
fn ratios_by_peer(speed: &str, row: &str) -> Vec<Vec<f64>> {
    const PEERS: [&str; 4] = ["PyTorch", "ONNX Runtime", "candle-nn", "Burn"];
    let belongs = |label: &str| match row {
        "language model" => label.split('x').filter(|size| size.parse::<usize>().is_ok()).count() == 6,
        cell => label.strip_prefix(cell).is_some_and(|sizes| sizes.starts_with(' ')),
    };
    let mut ratios = vec![vec![]; PEERS.len()];
    let mut header = vec![];
    for cells in table_rows(speed) {
        if cells[1..].iter().any(|cell| cell.starts_with(PEERS[0])) {
            header = cells.clone();
        }
        if belongs(cells[0]) {
            for (name, cell) in header.iter().zip(&cells).skip(1) {
                // "PyTorch in bf16" and "ours in f32" are columns of other tables.
                let is_in_f32 = |rest: &str| !rest.starts_with(" in ");
                if let Some(peer) =
                    PEERS.iter().position(|peer| name.strip_prefix(peer).is_some_and(is_in_f32))
                {
                    ratios[peer].extend(cell.parse::<f64>());
                }
            }
        }
    }
    ratios.retain(|ratios| !ratios.is_empty());
    ratios
}

/// The files below a folder, without what is built or downloaded.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let built = |path: &Path| {
        let name = path.file_name().unwrap_or_default();
        name == "target" || name == "__pycache__" || name == ".venv"
    };
    let kept = entries.filter(|path| !built(path));
    kept.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

/// Whether a line of a source file has to be narrow: comments in Rust, whose code rustfmt wraps, and in shell scripts,
/// and every line of Python. Rows of tables in comments are as long as their cells.
fn is_narrow(extension: &str, line: &str) -> bool {
    let line = line.trim_start();
    match extension {
        "rs" => line.starts_with("//") && !line.trim_start_matches(['/', '!', ' ']).starts_with('|'),
        "py" => true,
        _ => line.starts_with('#'),
    }
}

/// The lines of a file that are too wide, as file, line and width.
fn wide_lines<'t>(path: &Path, lines: impl Iterator<Item = (usize, &'t str)>) -> Vec<String> {
    let wide = lines.filter(|(_, line)| line.chars().count() > WIDEST_LINE);
    let name = path.strip_prefix(root()).unwrap().display();
    wide.map(|(number, line)| format!("{name}:{}: {} characters", number + 1, line.chars().count())).collect()
}

#[test]
fn comments_are_at_most_120_characters_wide() {
    let mut wide = vec![];
    for path in
        ["src", "models", "tests", "scripts"].iter().flat_map(|folder| files_below(&root().join(folder)))
    {
        let extension = path.extension().unwrap_or_default().to_str().unwrap();
        let Some(text) =
            std::fs::read_to_string(&path).ok().filter(|_| ["rs", "py", "sh", ""].contains(&extension))
        else {
            continue;
        };
        wide.extend(wide_lines(
            &path,
            text.lines().enumerate().filter(|(_, line)| is_narrow(extension, line)),
        ));
    }
    assert!(wide.is_empty(), "wider than {WIDEST_LINE}:\n{}", wide.join("\n"));
}

#[test]
fn prose_is_at_most_120_characters_wide() {
    let mut wide = vec![];
    for (path, text) in pages() {
        let mut fenced = false;
        let prose = text.lines().enumerate().filter(|(_, line)| {
            fenced ^= line.starts_with("```");
            // Rows of tables, output and pictures cannot be wrapped.
            !fenced && !line.starts_with('|') && !line.starts_with("![")
        });
        wide.extend(wide_lines(&path, prose));
    }
    assert!(wide.is_empty(), "wider than {WIDEST_LINE}:\n{}", wide.join("\n"));
}
