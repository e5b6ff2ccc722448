//! One run: a command, its arguments, and mutated copies of what it reads.

use std::fs;
use std::path::{Path, PathBuf};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::Result;
use crate::flags::{self, Manual, pick};
use crate::mutate;
use crate::seeds::{BUNDLES, Bundle, DATA, SHORT, Seeds, TABLES};

/// A command line, to be run in the folder of its inputs.
pub struct Case {
    /// The command, such as `train` or `bench lm`.
    pub command: String,
    /// All arguments, the command first.
    pub arguments: Vec<String>,
    /// File that is standard input.
    pub stdin: Option<&'static str>,
    /// Bundle in the folder, if it was not mutated.
    pub whole_bundle: Option<&'static str>,
    /// Whether the arguments ask for more work than the limits allow.
    pub asks_for_much: bool,
}

/// Builds a case step by step.
struct Builder<'a> {
    place: &'a Path,
    seeds: &'a Seeds,
    manual: &'a Manual,
    rng: ChaCha8Rng,
    arguments: Vec<String>,
    stdin: Option<&'static str>,
    whole_bundle: Option<&'static str>,
}

impl Case {
    /// Builds run `number` of a seed, with its inputs in the folder `place`.
    pub fn build(seed: u64, number: u64, place: &Path, seeds: &Seeds, manual: &Manual) -> Result<Self> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(number);
        let mut builder =
            Builder { place, seeds, manual, rng, arguments: vec![], stdin: None, whole_bundle: None };
        let command = builder.command()?;
        builder.vary_arguments(&command);
        let Builder { arguments, stdin, whole_bundle, .. } = builder;
        let asks_for_much = flags::asks_for_much(&arguments);
        Ok(Self { command, arguments, stdin, whole_bundle, asks_for_much })
    }
}

impl Builder<'_> {
    /// Writes the inputs and the arguments of a random command, whose name is returned.
    fn command(&mut self) -> Result<String> {
        let command = match self.rng.random_range(0..100) {
            0..10 => return self.train_on_data(),
            10..19 => return self.train_task(),
            19..24 => return self.train_with_tokenizer(),
            24..32 => return self.train_recipe(),
            32..42 => return self.resume(),
            42..47 => return self.train_from(),
            47..57 => return self.read_data("eval"),
            57..63 => return self.read_data("predict"),
            63..69 => return self.score(),
            69..77 => return self.generate(),
            77..82 => return self.generate_state(),
            82..85 => return self.list(),
            85..90 => return self.data(),
            90..93 => return self.export(),
            93..97 => return self.plot(),
            _ => pick(flags::COMMANDS, &mut self.rng),
        };
        self.seeds.copy("story.txt", self.place)?;
        self.push(command.split(' '));
        if command.starts_with("bench") {
            self.push([
                "--model", "lstm", "--hidden", "8", "--repeat", "2", "--batch", "2", "--time", "3",
                "--vocab", "20",
            ]);
        }
        Ok(command.to_string())
    }

    fn push<'s>(&mut self, arguments: impl IntoIterator<Item = &'s str>) {
        self.arguments.extend(arguments.into_iter().map(str::to_string));
    }

    /// Copies a data source, one of `names`, mutated more often than not. Returns its name.
    fn data_source(&mut self, names: &[&'static str]) -> Result<&'static str> {
        let name = pick(names, &mut self.rng);
        self.seeds.copy(name, self.place)?;
        if self.rng.random_bool(0.8) {
            self.mutate_data(name)?;
        }
        Ok(name)
    }

    /// Mutates a data source, or one of the training files of its folder.
    fn mutate_data(&mut self, name: &str) -> Result<()> {
        let files = self.seeds.training_files(name)?;
        let file = files[self.rng.random_range(0..files.len())].clone();
        self.mutate(&file)
    }

    fn mutate(&mut self, file: &Path) -> Result<()> {
        let other = self
            .seeds
            .bytes(pick(&["story.txt", "words.json", "table.csv", "chars.state"], &mut self.rng))?;
        mutate::file(&self.place.join(file), &other, self.manual, &mut self.rng)
    }

    /// Copies a bundle of a task, or of any. With `damage`, mutates one of its files.
    fn bundle(&mut self, task: Option<&str>, damage: bool) -> Result<Bundle> {
        let fit: Vec<_> =
            BUNDLES.iter().filter(|bundle| task.is_none_or(|task| bundle.task == task)).collect();
        let bundle = *pick(&fit, &mut self.rng);
        self.seeds.copy(bundle.name, self.place)?;
        if !damage {
            self.whole_bundle = Some(bundle.name);
            return Ok(bundle);
        }
        let mut files = files(&self.place.join(bundle.name), Path::new(bundle.name))?;
        files.retain(|file| file.extension().is_none_or(|kind| kind != "svg" && kind != "md"));
        let file = files[self.rng.random_range(0..files.len())].clone();
        match self.rng.random_range(0..20) {
            0 => fs::remove_file(self.place.join(file))?,
            _ => self.mutate(&file)?,
        }
        Ok(bundle)
    }

    fn train_on_data(&mut self) -> Result<String> {
        let table = self.rng.random_bool(0.5);
        let data = self.data_source(if table { TABLES } else { DATA })?;
        let model = pick(&["lstm", "gru", "simple-rnn", "rnnlm"], &mut self.rng);
        self.push(["train", model, "--data", data, "--out", "out"]);
        self.push(SHORT.iter().copied());
        if table && self.rng.random_bool(0.9) {
            self.push(["--text-column", "text", "--label-column", "label"]);
            let task = pick(&["classify", "classify", "classify", "tag", "forecast", "lm"], &mut self.rng);
            if self.rng.random_bool(0.7) {
                self.push(["--task", task]);
            }
        }
        Ok("train".into())
    }

    /// Trains as a bundle of the seeds was trained, on mutated data.
    fn train_task(&mut self) -> Result<String> {
        let with_files: Vec<_> = BUNDLES.iter().filter(|bundle| !bundle.is_builtin()).collect();
        let bundle = *pick(&with_files, &mut self.rng);
        self.seeds.copy(bundle.data[0], self.place)?;
        self.mutate_data(bundle.data[0])?;
        self.push(["train"]);
        self.push(bundle.train.iter().copied());
        self.push(["--out", "out", "--data"]);
        self.push(bundle.data.iter().copied());
        self.push(SHORT.iter().copied());
        Ok("train".into())
    }

    fn train_with_tokenizer(&mut self) -> Result<String> {
        let tokenizer = pick(&["words.json", "pairs.json"], &mut self.rng);
        self.seeds.copy(tokenizer, self.place)?;
        self.mutate(Path::new(tokenizer))?;
        self.seeds.copy("story.txt", self.place)?;
        self.push(["train", "lstm", "--data", "story.txt", "--tokenizer", tokenizer, "--out", "out"]);
        self.push(SHORT.iter().copied());
        Ok("train".into())
    }

    fn train_recipe(&mut self) -> Result<String> {
        self.seeds.copy("recipe.toml", self.place)?;
        self.seeds.copy("story.txt", self.place)?;
        self.mutate(Path::new("recipe.toml"))?;
        self.push(["train", "--recipe", "recipe.toml", "--out", "out"]);
        Ok("train".into())
    }

    fn resume(&mut self) -> Result<String> {
        let damage = self.rng.random_bool(0.8);
        let bundle = self.bundle(None, damage)?;
        self.copy_data(&bundle)?;
        self.push(["train", "--resume", bundle.name, "--max-steps", "5"]);
        Ok("train".into())
    }

    fn train_from(&mut self) -> Result<String> {
        let damage = self.rng.random_bool(0.6);
        let bundle = self.bundle(None, damage)?;
        self.copy_data(&bundle)?;
        self.push(["train", "--from", bundle.name, "--data"]);
        self.push(bundle.data.iter().copied());
        self.push(["--max-steps", "2", "--batch-size", "2", "--out", "out"]);
        Ok("train".into())
    }

    /// A command with a bundle and `--data`.
    fn read_data(&mut self, command: &str) -> Result<String> {
        let damage = self.rng.random_bool(0.5);
        let task = if command == "predict" {
            Some(pick(&["classify", "tag", "forecast", "translate"], &mut self.rng))
        } else {
            None
        };
        let bundle = self.bundle(task, damage)?;
        self.push([command, bundle.name, "--data"]);
        if damage || bundle.is_builtin() || self.rng.random_bool(0.7) {
            self.copy_data(&bundle)?;
            if !damage && !bundle.is_builtin() {
                self.mutate_data(bundle.data[0])?;
            }
            self.push([bundle.data[0]]);
        } else {
            // Data of any form.
            let data = self.data_source(DATA)?;
            self.push([data]);
        }
        self.push(bundle.data[1..].iter().copied());
        if self.rng.random_bool(0.6) {
            self.push(["--json"]);
        }
        Ok(command.into())
    }

    fn copy_data(&mut self, bundle: &Bundle) -> Result<()> {
        match bundle.is_builtin() {
            true => Ok(()),
            false => self.seeds.copy(bundle.data[0], self.place),
        }
    }

    fn score(&mut self) -> Result<String> {
        let damage = self.rng.random_bool(0.4);
        let bundle = self.bundle(Some("lm"), damage)?;
        self.seeds.copy("story.txt", self.place)?;
        if !damage {
            self.mutate(Path::new("story.txt"))?;
        }
        self.push(["score", bundle.name]);
        match self.rng.random_bool(0.5) {
            true => self.push(["story.txt"]),
            false => self.stdin = Some("story.txt"),
        }
        if self.rng.random_bool(0.5) {
            self.push(["--json", "--tokens"]);
        }
        Ok("score".into())
    }

    fn generate(&mut self) -> Result<String> {
        let damage = self.rng.random_bool(0.5);
        let bundle = self.bundle(Some("lm"), damage)?;
        self.push(["generate", bundle.name, "--length", "12", "--json"]);
        if self.rng.random_bool(0.5) {
            self.seeds.copy("story.txt", self.place)?;
            self.mutate(Path::new("story.txt"))?;
            self.stdin = Some("story.txt");
            let flag = pick(&["--prompt", "--prompts"], &mut self.rng);
            self.push([flag, "-"]);
        }
        Ok("generate".into())
    }

    fn generate_state(&mut self) -> Result<String> {
        self.seeds.copy("chars", self.place)?;
        self.whole_bundle = Some("chars");
        self.seeds.copy("chars.state", self.place)?;
        self.mutate(Path::new("chars.state"))?;
        self.push(["generate", "chars", "--state", "chars.state", "--length", "8"]);
        Ok("generate".into())
    }

    fn list(&mut self) -> Result<String> {
        self.bundle(None, true)?;
        self.push(["list"]);
        Ok("list".into())
    }

    fn data(&mut self) -> Result<String> {
        let data = self.data_source(DATA)?;
        self.push(["data", data]);
        let bundle = BUNDLES.iter().find(|bundle| bundle.data[0] == data);
        if let Some(bundle) = bundle.filter(|_| self.rng.random_bool(0.7)) {
            self.push(bundle.data[1..].iter().copied());
        }
        Ok("data".into())
    }

    fn export(&mut self) -> Result<String> {
        let damage = self.rng.random_bool(0.7);
        let bundle = self.bundle(None, damage)?;
        self.push(["export", bundle.name, "--out", "out"]);
        if self.rng.random_bool(0.5) {
            self.push(["--dtype", "f16"]);
        }
        Ok("export".into())
    }

    fn plot(&mut self) -> Result<String> {
        self.seeds.copy("metrics.jsonl", self.place)?;
        self.mutate(Path::new("metrics.jsonl"))?;
        let out = pick(&["out.svg", "out.png"], &mut self.rng);
        self.push(["plot", "metrics.jsonl", "--out", out]);
        Ok("plot".into())
    }

    /// Adds, drops and doubles arguments of a part of the cases.
    fn vary_arguments(&mut self, command: &str) {
        if self.rng.random_bool(0.65) {
            return;
        }
        for _ in 0..self.rng.random_range(1..5) {
            match self.rng.random_range(0..12) {
                0 if self.arguments.len() > 2 => {
                    let at = self.rng.random_range(1..self.arguments.len());
                    self.arguments.remove(at);
                }
                1 => {
                    let text = flags::text(&mut self.rng);
                    self.arguments.push(text);
                }
                _ => {
                    let flag = self.manual.draw(command, &mut self.rng);
                    self.arguments.extend(flag);
                }
            }
        }
    }
}

/// All files below the folder `root`, in order, as paths below `name`.
pub fn files(root: &Path, name: &Path) -> Result<Vec<PathBuf>> {
    let mut entries = fs::read_dir(root)?.collect::<std::result::Result<Vec<_>, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    let mut found = vec![];
    for entry in entries {
        let name = name.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => found.extend(files(&entry.path(), &name)?),
            false => found.push(name),
        }
    }
    Ok(found)
}
