//! Valid inputs that mutations start from, made by the binary under test.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Result;
use crate::case::files;

/// Lines of the texts.
const SENTENCES: [&str; 3] =
    ["The cat sat on the mat.", "A dog ran to the old house.", "Why did it rain today?"];

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
    pub train: &'static [&'static str],
}

impl Bundle {
    /// Whether its data is built in, without a file.
    pub fn is_builtin(&self) -> bool {
        self.data[0].starts_with("builtin")
    }
}

const COLUMNS: &[&str] = &["table.csv", "--text-column", "text", "--label-column", "label"];
const SIGNALS: &[&str] = &["signals.csv", "--series-column", "id", "--label-column", "class"];
const PARALLEL: &[&str] = &["parallel", "--source-lang", "en", "--target-lang", "de"];
const QUESTIONS: &[&str] = &["questions.csv", "--source-column", "question", "--target-column", "answer"];

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
    Bundle { name: "tagger", task: "tag", data: &["tags.conll"], train: &["lstm", "--task", "tag", "--crf"] },
    Bundle { name: "archive", task: "classify", data: &["signals.ts"], train: &["gru"] },
    Bundle { name: "signals", task: "classify", data: SIGNALS, train: &["simple-rnn"] },
    Bundle {
        name: "months",
        task: "forecast",
        data: &["series.csv"],
        train: &["gru", "--task", "forecast", "--target", "a", "--horizon", "4", "--window", "8"],
    },
    Bundle {
        name: "shops",
        task: "forecast",
        data: &["shops.csv", "--series-column", "shop"],
        train: &["lstm", "--task", "forecast", "--horizon", "4", "--window", "8", "--quantiles", "0.1,0.9"],
    },
    Bundle {
        name: "wide",
        task: "forecast",
        data: &["wide.csv", "--wide"],
        train: &["gru", "--task", "forecast", "--horizon", "4", "--window", "8", "--season", "6"],
    },
    Bundle { name: "translator", task: "translate", data: PARALLEL, train: &["gru", "--tokenizer", "word"] },
    Bundle { name: "dialogue", task: "translate", data: QUESTIONS, train: &["lstm", "--shared-vocabulary"] },
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
    "signals.ts",
    "signals.csv",
    "shops.csv",
    "wide.csv",
    "questions.csv",
    "folder",
    "parallel",
];

/// Tables with the columns `text` and `label`.
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

    /// The training files of the input `name`: itself, or those in its folder.
    pub fn training_files(&self, name: &str) -> Result<Vec<PathBuf>> {
        if !self.folder.join(name).is_dir() {
            return Ok(vec![name.into()]);
        }
        let mut names = files(&self.folder.join(name), Path::new(name))?;
        names.retain(|name| name.file_stem().is_some_and(|stem| stem == "train"));
        Ok(names)
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

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> Result<()> {
        Ok(fs::write(self.folder.join(name), bytes)?)
    }

    fn write_data(&self) -> Result<()> {
        self.write_texts()?;
        self.write_tables()?;
        self.write_series()?;
        self.write_pairs()
    }

    /// Plain texts in several encodings and with several line ends, a column file, and a folder of splits.
    fn write_texts(&self) -> Result<()> {
        let story: String = (0..60).map(|line| format!("{}\n", SENTENCES[line % 3])).collect();
        let utf16 = [0xfeff].into_iter().chain(story.encode_utf16()).flat_map(u16::to_le_bytes);
        self.write("story.txt", &story)?;
        self.write("crlf.txt", story.replace('\n', "\r\n"))?;
        self.write("cr.txt", story.replace('\n', "\r"))?;
        self.write("korean.txt", "나랏말싸미 듕귁에 달아 문자와로 서르 사맛디 아니할쎄\n".repeat(20))?;
        self.write("utf16.txt", utf16.collect::<Vec<_>>())?;
        // "Hello, how are you" in Korean, in its old encoding.
        let cp949 = b"\xbe\xc8\xb3\xe7\xc7\xcf\xbc\xbc\xbf\xe4 \xb9\xdd\xb0\xa9\xbd\xc0\xb4\xcf\xb4\xd9\n";
        self.write("cp949.txt", cp949.repeat(20))?;
        self.write("latin1.txt", b"Caf\xe9 cr\xe8me, d\xe9j\xe0 vu\n".repeat(20))?;
        self.write("empty.txt", "")?;
        self.write("tags.conll", "The DT O\ncat NN B-NP\nsat VB O\n\n".repeat(20))?;
        fs::create_dir(self.folder.join("folder"))?;
        for name in ["train", "valid", "test"] {
            self.write(&format!("folder/{name}.txt"), &story)?;
        }
        Ok(())
    }

    /// Tables of texts with labels.
    fn write_tables(&self) -> Result<()> {
        for (name, delimiter) in [("table.csv", ","), ("table.tsv", "\t"), ("semicolons.csv", ";")] {
            let row = |line: usize| {
                format!("{}{delimiter}{}\n", SENTENCES[line % 3], ["calm", "busy", "wet"][line % 3])
            };
            let rows = (0..60).map(row).collect::<String>();
            self.write(name, format!("text{delimiter}label\n{rows}"))?;
        }
        let object = |line: usize| {
            format!("{}\n", serde_json::json!({"text": SENTENCES[line % 3], "label": line % 2}))
        };
        self.write("rows.jsonl", (0..60).map(object).collect::<String>())?;
        let objects = SENTENCES.map(|text| serde_json::json!({"text": text, "label": "a"}));
        self.write("array.json", serde_json::to_string(&objects)?)
    }

    /// Series to forecast, one column each, as a long and as a wide table, and series with classes.
    fn write_series(&self) -> Result<()> {
        let month = |at: usize| format!("{}-{:02}-01", 1990 + at / 12, at % 12 + 1);
        let value = |at: usize| format!("{},{}.5,{}\n", month(at), at % 7, at % 3);
        self.write("series.csv", format!("date,a,b\n{}", (0..90).map(value).collect::<String>()))?;
        let sale = |at: usize| format!("{},{},{}\n", month(at / 2), ["north", "south"][at % 2], 9 + at % 14);
        self.write("shops.csv", format!("date,shop,sales\n{}", (0..120).map(sale).collect::<String>()))?;
        let row = |series: usize| {
            let values = (0..30).map(|at| format!(",{}", series + at % 6)).collect::<String>();
            format!("M{series}{values}\n")
        };
        let header = (0..31).map(|at| format!("V{at}")).collect::<Vec<_>>().join(",");
        self.write("wide.csv", format!("{header}\n{}", (1..9).map(row).collect::<String>()))?;
        let line = |n: usize| format!("{n},1,2:0,{},?:{}\n", n % 2, ["a", "b"][n % 2]);
        let header = "# made up\n@problemName x\n@dimensions 2\n@classLabel true a b\n@data\n";
        self.write("signals.ts", format!("{header}{}", (0..30).map(line).collect::<String>()))?;
        let rows = |n: usize| {
            let class = ["up", "down"][n % 2];
            format!("s{n},1,{n},{class}\ns{n},,{},{class}\n", n + 1)
        };
        self.write("signals.csv", format!("id,x,y,class\n{}", (0..30).map(rows).collect::<String>()))
    }

    /// Texts with translations: parallel files and a table.
    fn write_pairs(&self) -> Result<()> {
        fs::create_dir(self.folder.join("parallel"))?;
        let pairs = [("the cat sleeps", "die Katze schläft"), ("a dog eats", "ein Hund frisst")];
        for (name, count) in [("train", 40), ("valid", 6), ("test", 6)] {
            let lines = |side: fn((&str, &str)) -> String| (0..count).map(|n| side(pairs[n % 2])).collect();
            let (english, german): (String, String) =
                (lines(|pair| format!("{}\n", pair.0)), lines(|pair| format!("{}\n", pair.1)));
            self.write(&format!("parallel/{name}.en"), english)?;
            self.write(&format!("parallel/{name}.de"), german)?;
        }
        let row = |n: usize| format!("{},\"Yes, {n}.\"\n", SENTENCES[n % 3]);
        self.write("questions.csv", format!("question,answer\n{}", (0..60).map(row).collect::<String>()))
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
