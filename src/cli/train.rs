//! `rnn train`: a named model on the user's data, or a run continued.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::Device;
use rnn_zoo::Error;
use rnn_zoo::bundle::{self, BundleWriter, Config, FORMAT, Loaded, RECIPE};
use rnn_zoo::data::corpus::{Columns, Fractions};
use rnn_zoo::models::MODELS;
use rnn_zoo::tasks::{self, DataSpec, Prepared, STORY, Task, TokenizerSource, TokenizerSpec};
use rnn_zoo::tokenizer::Kind;
use rnn_zoo::training::card;
use rnn_zoo::training::optim::Average;
use rnn_zoo::training::schedule::Schedule;
use rnn_zoo::training::tensorboard::EventWriter;
use rnn_zoo::training::{Checkpoint, Ending, Options, Run};

use super::architecture::{self, DTYPE};
use super::flags::{self, usage};
use super::recipe::Settings;
use super::training::{LengthArgs, Period, TrainingArgs};
use super::{Compute, Outcome};

/// Train a model on text (by default on built-in stories) and keep it as a bundle
#[derive(Debug, clap::Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "\
Examples:
  rnn train lstm                                                   a character LSTM on the built-in stories
  rnn train gru --data my.txt --out my-gru                         on a text file
  rnn train rnnlm --data ptb/ --tied --dropout 0.4                 on a folder of train, valid and test
  rnn train lstm --data q.csv --text-column text --label-column label --task classify
  rnn train --recipe my-gru/recipe.toml --lr 0.001                 a run once more, but for one setting
  rnn train --from my-gru --data other.txt                         fine-tune what has been learnt on other text
  rnn train --resume my-gru --epochs 20                            continue a run"
)]
pub struct Args {
    /// simple-rnn, lstm, gru or rnnlm
    #[arg(value_name = "MODEL", required_unless_present_any = ["resume", "recipe", "from"])]
    model: Option<String>,

    /// Start from the parameters of a bundle, with its tokenizer and network, instead of from random ones
    /// (fine-tuning); flags may regularise it otherwise
    #[arg(long, value_name = "BUNDLE", conflicts_with_all = ["task", "tokenizer", "max_vocab", "lowercase"],
          conflicts_with_all = architecture::SHAPE)]
    from: Option<String>,

    /// Take settings from a TOML file, a key for every long flag; flags count more, --tied=false too
    #[arg(long, value_name = "FILE")]
    recipe: Option<PathBuf>,

    /// Continue the run that is kept in this bundle, to the byte as if it had not been interrupted
    #[arg(long, value_name = "BUNDLE", conflicts_with_all = ["recipe", "out", "force"])]
    resume: Option<PathBuf>,

    /// Where the bundle goes [default: MODEL-DATA]
    #[arg(long, value_name = "BUNDLE", aliases = ["save", "checkpoint-dir", "checkpoint_dir"])]
    out: Option<PathBuf>,

    /// Replace a bundle that is there already
    #[arg(long)]
    force: bool,

    /// Write the figures as event files, too, for `tensorboard --logdir FOLDER`
    #[arg(long, value_name = "FOLDER")]
    tensorboard: Option<PathBuf>,

    #[command(flatten)]
    data: DataArgs,

    #[command(flatten)]
    network: architecture::Args,

    #[command(flatten)]
    length: LengthArgs,

    #[command(flatten)]
    training: TrainingArgs,

    #[command(flatten)]
    compute: Compute,

    /// What of all this the user gave, in flags and recipe.
    #[arg(skip)]
    pub settings: Settings,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Data")]
#[group(id = "data-flags")]
struct DataArgs {
    /// A text, .csv or .jsonl file, a folder of train, valid and test, builtin:story|reber|adding|copy, or
    /// hf://datasets/OWNER/NAME/FILE [default: builtin:story]
    #[arg(long, value_name = "DATA", alias = "input")]
    data: Option<String>,

    /// What to learn: the next token, a class, tags or numbers [default: what the data suits]
    #[arg(long, value_parser = flags::task())]
    task: Option<&'static dyn Task>,

    /// Column or field that holds the text
    #[arg(long, value_name = "NAME")]
    text_column: Option<String>,

    /// Column or field that holds the class
    #[arg(long, value_name = "NAME")]
    label_column: Option<String>,

    /// Share of a single file held out for validation
    #[arg(long, value_name = "X", alias = "val_frac", default_value_t = 0.05)]
    valid_fraction: f64,

    /// Share of a single file held out for testing
    #[arg(long, value_name = "X", default_value_t = 0.05)]
    test_fraction: f64,

    /// char, word (cut at blanks alone), bpe:N or the path of a tokenizer.json [default: char; word for rnnlm and classify]
    #[arg(long, value_name = "TOKENIZER", value_parser = flags::parsed::<Kind>)]
    tokenizer: Option<Kind>,

    /// Keep only the N most frequent tokens; the rest become `<unk>`
    #[arg(long, value_name = "N")]
    max_vocab: Option<usize>,

    /// Fold upper case away
    #[arg(long)]
    lowercase: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let device = args.compute.open()?;
    let mut run = match &args.resume {
        Some(bundle) => match resume(bundle, args, &device)? {
            Some(run) => run,
            None => return Ok(Outcome::Done),
        },
        None => start(args, &device).map_err(|error| args.settings.blame(error))?,
    };
    if let Some(folder) = &args.tensorboard {
        run.watch(EventWriter::create(folder, run.trainer.progress.step, args.force)?);
    }
    // Only now is there anything that a Ctrl-C should wait for.
    let stop = stop_on_interrupt(&run)?;
    drive(run, &stop)
}

fn start(args: &Args, device: &Device) -> anyhow::Result<Run> {
    let data = args.data.spec(args.training.seed);
    let basis = args.from.as_deref().map(|bundle| args.basis(bundle)).transpose()?;
    let name = args.model.as_deref().map(known_model).transpose()?;
    let (name, task) = match &basis {
        Some(basis) => (own_name(name, &basis.config)?, basis.config.task),
        None => {
            let name = name.expect("invariant: clap asks for MODEL where nothing else names one");
            (name, args.data.task.map_or_else(|| tasks::suited(&data), Ok)?)
        }
    };
    task.check_network(&args.network.options(0.))?;
    if basis.is_some() && task.is_language_model() && data.columns.label.is_some() {
        let problem = "the bundle of --from is a language model, which learns no classes; leave this out, or train \
                       a classifier from nothing";
        return Err(usage("--label-column", problem));
    }
    let out = args.out.clone().unwrap_or_else(|| default_bundle(name, &data.data));
    if let Some(basis) = &basis {
        keep_apart(&out, &basis.path)?;
    }
    let writer = BundleWriter::create(&out, args.force)?.with_recipe(args.settings.to_toml());
    eprintln!("reading {} ...", data.data);
    let prepared = match &basis {
        Some(basis) => {
            let tokenizer = TokenizerSource::Loaded(basis.tokenizer()?.map(Box::new));
            task.prepare(&data, tokenizer, basis.config.labels.clone())?
        }
        None => task.prepare(&data, TokenizerSource::Trained(args.data.tokenizer(name, task)), vec![])?,
    };
    if let Some(column) = &prepared.text_column {
        let class =
            if data.columns.label.is_none() { "; a classifier needs --label-column, too" } else { "" };
        eprintln!("the text is `{column}`{class}");
    }
    let mut defaults = task.defaults(&data, &prepared);
    let network = match &basis {
        Some(basis) => {
            defaults = defaults.for_fine_tuning();
            args.network.regularized(&basis.config.network)
        }
        None => args.network.config(args.network.cell(name)?, task, prepared.shape, defaults.sizes)?,
    };
    let config = Config {
        format: FORMAT,
        model: name.to_string(),
        task,
        network,
        tokenizer: prepared.tokenizer.as_ref().map(|tokenizer| tokenizer.scheme()),
        labels: prepared.labels.clone(),
        text_column: prepared.text_column.clone(),
        dtype: DTYPE,
        zoo_version: env!("CARGO_PKG_VERSION").to_string(),
        created_with: command_line(),
    };
    let options = args.training.options(&args.length, &defaults)?;
    task.check_options(&options)?;
    check_average(&options, &prepared)?;
    let mut run = Run::start(writer, config, data, prepared, options, device)?;
    introduce(&run, device);
    if let Some(basis) = &basis {
        run.start_from(basis)?;
    }
    Ok(run)
}

/// The name of the model that a run starts from, which is what the user called it too, if anything.
fn own_name(given: Option<&'static str>, config: &Config) -> anyhow::Result<&'static str> {
    let own = known_model(&config.model)?;
    match given {
        Some(given) if given != own => {
            let problem = format!("the model of --from is {own}, not {given}; leave {given} out");
            Err(usage("MODEL", problem))
        }
        _ => Ok(own),
    }
}

/// Refuses to save a run where the bundle lies that it starts from: its recipe would start from its own end.
fn keep_apart(out: &Path, from: &Path) -> anyhow::Result<()> {
    match (out.canonicalize(), from.canonicalize()) {
        (Ok(out), Ok(from)) if out == from => {
            Err(usage("--out", "is where the bundle of --from lies; choose another folder"))
        }
        _ => Ok(()),
    }
}

/// Refuses an average that starts at an evaluation if there are none.
fn check_average(options: &Options, prepared: &Prepared) -> anyhow::Result<()> {
    if matches!(options.average, Some(Average::NtAsgd { .. })) && prepared.splits.valid.is_none() {
        let problem =
            "nt-asgd begins where validation stalls, and there is no validation data; use ema or swa";
        return Err(usage("--average", problem));
    }
    Ok(())
}

/// A run that goes on; `None` where it has ended, which is then said.
fn resume(bundle: &Path, args: &Args, device: &Device) -> anyhow::Result<Option<Run>> {
    if let Some(flag) = args.settings.beside_length() {
        let path = card::quoted_path(&bundle.display().to_string());
        let problem =
            format!("a resumed run keeps its settings; leave it out, or start another with --from {path}");
        return Err(usage(format!("{flag} with --resume"), problem));
    }
    let mut checkpoint = Checkpoint::open(bundle)?;
    let progress = checkpoint.progress().clone();
    let before = (checkpoint.options.epochs, checkpoint.options.max_steps);
    args.length.extend(&mut checkpoint.options, &progress)?;
    let changed = before != (checkpoint.options.epochs, checkpoint.options.max_steps);
    if changed {
        checkpoint.add_command(&command_line());
    }
    if changed && checkpoint.recipe().is_some() {
        match args.settings.lengthen(&bundle.join(RECIPE), Period(checkpoint.options.eval_every)) {
            Ok(recipe) => checkpoint.set_recipe(recipe),
            Err(error) => eprintln!("the recipe is kept as it is, with its old length: {error}"),
        }
    }
    let prepared = checkpoint.prepare()?;
    let run = checkpoint.resume(prepared, device)?;
    let (path, step) = (run.path().display(), run.trainer.progress.step);
    let from = card::quoted_path(&path.to_string());
    let done = match run.ended() {
        Some(Ending::EarlyStopped) if changed => {
            let problem =
                format!("{path} stopped early after {step} steps; --from {from} starts another run from it");
            return Err(usage("--resume", problem));
        }
        Some(Ending::EarlyStopped) => {
            format!("stopped early after {step} steps: validation no longer improved")
        }
        Some(_) => {
            format!("is finished: its {step} steps are done; --epochs or --max-steps make it longer")
        }
        None => {
            if changed {
                announce_length(&run.trainer.options);
            }
            introduce(&run, device);
            return Ok(Some(run));
        }
    };
    eprintln!("{path} {done}; --from {from} starts another run from it");
    Ok(None)
}

/// What another length does to a run that is not obvious.
fn announce_length(options: &Options) {
    if matches!(options.schedule, Schedule::Cosine { .. } | Schedule::OneCycle { .. }) {
        eprintln!("the learning rate's schedule is that of the new length from here on: the rate jumps");
    }
    if matches!(options.average, Some(Average::Swa { .. })) {
        eprintln!("the average begins anew, at its share of the new length");
    }
}

/// Trains, and says what to type next.
fn drive(mut run: Run, stop: &AtomicBool) -> anyhow::Result<Outcome> {
    let ending = run.train(stop);
    let path = run.path().display();
    match ending {
        Ok(Ending::Interrupted) => {
            let step = run.trainer.progress.step;
            let bundle = card::quoted_path(&path.to_string());
            eprintln!("stopped after step {step}; continue with: rnn train --resume {bundle}");
            Ok(Outcome::Interrupted)
        }
        Ok(ending) => {
            if ending == Ending::EarlyStopped {
                eprintln!("stopped early: validation no longer improves");
            }
            if run.trainer.shipped_score.is_some_and(|score| score.step == 0) {
                eprintln!(
                    "no evaluation was better than the start, whose parameters are kept; try another --lr"
                );
            }
            let next = card::next_commands(run.config(), run.data(), &path.to_string());
            eprintln!("saved {path}; next:\n{next}");
            Ok(Outcome::Done)
        }
        Err(error @ Error::Diverged { .. }) if run.has_saved() => {
            eprintln!("the checkpoint from before is in {path}");
            Err(error.into())
        }
        Err(error @ Error::Diverged { .. }) => {
            eprintln!("nothing is saved: there was no evaluation yet; --eval-every N makes one sooner");
            Err(error.into())
        }
        Err(error) => Err(error.into()),
    }
}

impl Args {
    /// The bundle that a run starts from.
    fn basis(&self, bundle: &str) -> anyhow::Result<Loaded> {
        if self.data.data.is_none() {
            return Err(usage("--from", "needs --data: what is the model to learn now?"));
        }
        let loaded = super::bundle_path(bundle).and_then(|path| bundle::load(&path));
        loaded.map_err(|error| usage("--from", flags::in_flags(error.into()).to_string()))
    }
}

impl DataArgs {
    /// The tokenizer that is to be built.
    fn tokenizer(&self, model: &str, task: &dyn Task) -> TokenizerSpec {
        let kind = self.tokenizer.clone().unwrap_or_else(|| match model {
            "rnnlm" => Kind::Word,
            _ => task.tokenizer(),
        });
        TokenizerSpec { kind, max_vocab: self.max_vocab, lowercase: self.lowercase }
    }

    fn spec(&self, seed: u64) -> DataSpec {
        DataSpec {
            data: self.data.clone().unwrap_or_else(|| STORY.into()),
            columns: Columns { text: self.text_column.clone(), label: self.label_column.clone() },
            fractions: Fractions { valid: self.valid_fraction, test: self.test_fraction },
            seed,
        }
    }
}

/// The model of that name, or an error with the nearest one.
fn known_model(name: &str) -> anyhow::Result<&'static str> {
    let wanted = name.to_lowercase().replace('_', "-");
    if let Some(entry) = MODELS.iter().find(|entry| entry.name == wanted) {
        return Ok(entry.name);
    }
    let distance = |entry: &&rnn_zoo::models::Entry| strsim::damerau_levenshtein(entry.name, &wanted);
    let nearest = MODELS.iter().min_by_key(distance).map_or("lstm", |entry| entry.name);
    let names = MODELS.map(|entry| entry.name).join(", ");
    Err(usage("MODEL", format!("there is no model {name:?}; did you mean {nearest}? (all: {names})")))
}

/// `lstm-story` for an lstm on `builtin:story`, `gru-my` for a gru on `texts/my.txt`.
fn default_bundle(model: &str, data: &str) -> PathBuf {
    let last = data.trim_end_matches('/').rsplit(['/', ':', '\\']).next().unwrap_or("data");
    let stem = last.split('.').next().filter(|stem| !stem.is_empty()).unwrap_or("data");
    PathBuf::from(format!("{model}-{stem}"))
}

/// The command as the user typed it.
fn command_line() -> String {
    let arguments = std::env::args().skip(1).map(|argument| card::quoted(&argument));
    std::iter::once("rnn".to_string()).chain(arguments).collect::<Vec<_>>().join(" ")
}

/// One line on what is about to happen.
fn introduce(run: &Run, device: &Device) {
    let splits = run.splits();
    let (train, valid) = (splits.train.len(), splits.valid.as_ref().map_or(0, |valid| valid.len()));
    let vocabulary = run.tokenizer().map_or(String::new(), |tokenizer| {
        format!(", {} {}s to choose from", tokenizer.vocabulary_size(), tokenizer.unit())
    });
    eprintln!(
        "{} ({}): {} parameters on {}; {train} targets to learn from, {valid} to validate on{vocabulary}",
        run.config().model,
        run.config().task,
        run.trainer.parameters.count(),
        rnn_zoo::device::name(device),
    );
    if let Some((tokenizer, unknown)) = run.tokenizer().and_then(|known| Some((known, known.unknown()?))) {
        let share = splits.train.unknown_share(unknown);
        if share > 0. {
            let (percent, token) = (100. * share, tokenizer.token(unknown).unwrap_or_default());
            eprintln!("{percent:.1} % of the training text is `{token}`, what the tokenizer does not know");
        }
    }
    if valid == 0 {
        eprintln!("no validation data: the last parameters will be kept, not the best");
    }
}

/// A flag that the first Ctrl-C sets; the second ends the program at once, and so does the first while
/// there is nothing yet to save.
fn stop_on_interrupt(run: &Run) -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let seen = stop.clone();
    let path = run.path().display().to_string();
    ctrlc::set_handler(move || {
        if seen.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
        eprintln!("stopping after this step, then saving {path}; Ctrl-C again stops at once");
    })?;
    Ok(stop)
}
