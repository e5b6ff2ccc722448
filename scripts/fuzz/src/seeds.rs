//! Valid inputs that mutations start from, made by the binary under test.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Result;

/// The folder of valid inputs.
pub struct Seeds {
    rnn: PathBuf,
    folder: PathBuf,
}

/// A bundle of the seeds.
#[derive(Clone, Copy)]
pub struct Bundle {
    /// Folder name.
    pub name: &'static str,
    /// Task.
    pub task: &'static str,
    /// `--data` and its column flags, for a command that reads data.
    pub data: &'static [&'static str],
    /// Arguments of the training, but for data and `--out`.
    train: &'static [&'static str],
}

const COLUMNS: &[&str] = &["table.csv", "--text-column", "text", "--label-column", "label"];

/// All bundles of the seeds.
pub const BUNDLES: &[Bundle] = &[
    Bundle { name: "chars", task: "lm", data: &["story.txt"], train: &["lstm"] },
    Bundle {
        name: "words",
        task: "lm",
        data: &["story.txt"],
        train: &["rnnlm", "--tied", "--dropout", "0.1"],
    },
    Bundle { name: "pairs", task: "lm", data: &["story.txt"], train: &["gru", "--tokenizer", "bpe:270"] },
    Bundle {
        name: "classes",
        task: "classify",
        data: COLUMNS,
        train: &["lstm", "--task", "classify", "--bidirectional"],
    },
    Bundle { name: "tags", task: "tag", data: &["builtin:copy"], train: &["gru", "--task", "tag"] },
    Bundle {
        name: "numbers",
        task: "forecast",
        data: &["builtin:adding"],
        train: &["simple-rnn", "--task", "forecast"],
    },
];

/// Data files and folders of the seeds.
pub const DATA: &[&str] = &[
    "story.txt",
    "crlf.txt",
    "cr.txt",
    "korean.txt",
    "utf16.txt",
    "cp949.txt",
    "latin1.txt",
    "empty.txt",
    "table.csv",
    "table.tsv",
    "semicolons.csv",
    "rows.jsonl",
    "array.json",
    "series.csv",
    "tags.conll",
    "folder",
];

/// Those with the columns `text` and `label`.
pub const TABLES: &[&str] = &["table.csv", "table.tsv", "semicolons.csv", "rows.jsonl"];

/// Flags that keep a training short.
pub const SHORT: &[&str] = &[
    "--hidden",
    "6",
    "--embedding",
    "5",
    "--layers",
    "1",
    "--max-steps",
    "3",
    "--batch-size",
    "2",
    "--threads",
    "1",
];

impl Seeds {
    /// Writes the inputs into the new folder `folder`.
    ///
    /// # Errors
    /// If a command on valid inputs fails.
    pub fn build(rnn: &Path, folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let seeds = Self { rnn: rnn.to_path_buf(), folder: std::path::absolute(folder)? };
        seeds.write_data()?;
        for bundle in BUNDLES {
            let out = ["--out", bundle.name];
            let arguments = [&["train"], bundle.train, &["--data"], bundle.data, SHORT, &out].concat();
            seeds.command(&arguments)?;
        }
        seeds.command(&["generate", "chars", "--length", "5", "--save-state", "chars.state"])?;
        for (name, bundle) in [("words.json", "words"), ("pairs.json", "pairs")] {
            fs::copy(folder.join(bundle).join("tokenizer.json"), folder.join(name))?;
        }
        fs::copy(folder.join("words/recipe.toml"), folder.join("recipe.toml"))?;
        fs::copy(folder.join("words/metrics.jsonl"), folder.join("metrics.jsonl"))?;
        Ok(seeds)
    }

    /// The binary under test.
    pub fn rnn(&self) -> &Path {
        &self.rnn
    }

    /// Copies the input `name`, a file or a folder, to `place`.
    pub fn copy(&self, name: &str, place: &Path) -> Result<()> {
        copy(&self.folder.join(name), &place.join(name))
    }

    /// The bytes of the file `name`.
    pub fn bytes(&self, name: &str) -> Result<Vec<u8>> {
        Ok(fs::read(self.folder.join(name))?)
    }

    /// Whether `rnn` can load the bundle at `path`.
    pub fn loads(&self, path: &Path) -> Result<bool> {
        let out = path.with_extension("export");
        let status = Command::new(&self.rnn).arg("export").arg(path).arg("--out").arg(&out).output()?.status;
        if out.exists() {
            fs::remove_dir_all(out)?;
        }
        Ok(status.success())
    }

    fn command(&self, arguments: &[&str]) -> Result<()> {
        let output = Command::new(&self.rnn)
            .args(arguments)
            .current_dir(&self.folder)
            .env("CANDLE_NUM_THREADS", "1")
            .output()?;
        if output.status.success() {
            return Ok(());
        }
        let problem = String::from_utf8_lossy(&output.stderr).trim().to_string();
        Err(format!("a command on valid inputs failed: rnn {}: {problem}", arguments.join(" ")).into())
    }

    fn write_data(&self) -> Result<()> {
        let write = |name: &str, bytes: &[u8]| fs::write(self.folder.join(name), bytes);
        let sentences = ["The cat sat on the mat.", "A dog ran to the old house.", "Why did it rain today?"];
        let story: String = (0..60).map(|line| format!("{}\n", sentences[line % 3])).collect();
        let utf16 = [0xfeff].into_iter().chain(story.encode_utf16()).flat_map(u16::to_le_bytes);
        write("story.txt", story.as_bytes())?;
        write("crlf.txt", story.replace('\n', "\r\n").as_bytes())?;
        write("cr.txt", story.replace('\n', "\r").as_bytes())?;
        write("korean.txt", "나랏말싸미 듕귁에 달아 문자와로 서르 사맛디 아니할쎄\n".repeat(20).as_bytes())?;
        write("utf16.txt", &utf16.collect::<Vec<_>>())?;
        // "Hello, how are you" in Korean, in its old encoding.
        write(
            "cp949.txt",
            &b"\xbe\xc8\xb3\xe7\xc7\xcf\xbc\xbc\xbf\xe4 \xb9\xdd\xb0\xa9\xbd\xc0\xb4\xcf\xb4\xd9\n"
                .repeat(20),
        )?;
        write("latin1.txt", &b"Caf\xe9 cr\xe8me, d\xe9j\xe0 vu\n".repeat(20))?;
        write("empty.txt", b"")?;
        let table = |delimiter: &str| {
            let row = |line: usize| {
                format!("{}{delimiter}{}\n", sentences[line % 3], ["calm", "busy", "wet"][line % 3])
            };
            format!("text{delimiter}label\n{}", (0..60).map(row).collect::<String>())
        };
        write("table.csv", table(",").as_bytes())?;
        write("table.tsv", table("\t").as_bytes())?;
        write("semicolons.csv", table(";").as_bytes())?;
        let object = |line: usize| {
            format!("{}\n", serde_json::json!({"text": sentences[line % 3], "label": line % 2}))
        };
        write("rows.jsonl", (0..60).map(object).collect::<String>().as_bytes())?;
        let objects: Vec<_> =
            sentences.iter().map(|text| serde_json::json!({"text": text, "label": "a"})).collect();
        write("array.json", serde_json::to_string(&objects)?.as_bytes())?;
        let value = |day: usize| format!("2026-01-{:02},{}.5,{}\n", day % 28 + 1, day % 7, day % 3);
        write("series.csv", format!("date,a,b\n{}", (0..90).map(value).collect::<String>()).as_bytes())?;
        write("tags.conll", "The DT O\ncat NN B-NP\nsat VB O\n\n".repeat(20).as_bytes())?;
        fs::create_dir(self.folder.join("folder"))?;
        for name in ["train", "valid", "test"] {
            write(&format!("folder/{name}.txt"), story.as_bytes())?;
        }
        Ok(())
    }
}

/// Copies a file or a folder.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    let kind = fs::symlink_metadata(from)?.file_type();
    if kind.is_symlink() {
        std::os::unix::fs::symlink(fs::read_link(from)?, to)?;
    } else if kind.is_dir() {
        fs::create_dir(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            copy(&entry.path(), &to.join(entry.file_name()))?;
        }
    } else {
        fs::copy(from, to)?;
    }
    Ok(())
}
