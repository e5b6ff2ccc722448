//! A stopped run that is resumed.

use std::path::Path;

use candle_core::Device;
use rnn_zoo::Error;
use rnn_zoo::bundle::RECIPE;
use rnn_zoo::distributed::{Ranks, any};
use rnn_zoo::training::optim::Average;
use rnn_zoo::training::schedule::Schedule;
use rnn_zoo::training::{Checkpoint, Ending, Options, Run};

use super::args::Args;
use super::introduce::introduce;
use crate::cli::flags::usage;
use crate::cli::next_commands::for_card;
use crate::cli::note::note;
use crate::cli::quote::command_line;
use crate::cli::quote::quoted_path;
use crate::cli::training::Period;

/// Resume the run in `bundle`. Prints why, and returns `None`, if the run has ended.
pub fn resume(bundle: &Path, args: &Args, device: &Device, ranks: &Ranks) -> anyhow::Result<Option<Run>> {
    if let Some(flag) = args.settings.beside_length() {
        let path = quoted_path(&bundle.display().to_string());
        let problem =
            format!("a resumed run keeps its settings; leave it out, or start another with --from {path}");
        return Err(usage(format!("{flag} with --resume"), problem));
    }
    let mut checkpoint = Checkpoint::open(bundle, ranks.as_ref())?;
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
            Err(error) => note!("the recipe keeps its old length: {error}"),
        }
    }
    let prepared =
        checkpoint.prepare(ranks.as_ref()).map_err(|error| without_data(error, checkpoint.data()))?;
    let damage = checkpoint.check_model().err();
    let processes = checkpoint.processes();
    let mut run = checkpoint.resume(prepared, device, ranks.clone())?;
    run.show_commands(for_card(&run));
    if any(ranks.as_ref(), damage.is_some()) {
        run.rewrite()?;
    }
    if let Some(error) = damage {
        note!("the damaged model is written again from the state of the training ({error})");
    }
    let (path, step) = (run.path().display(), run.trainer.progress.step);
    let from = quoted_path(&path.to_string());
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
            if processes != ranks.size() {
                note!(
                    "processes: {processes} before, {} now; the result will differ from that of a run without \
                     interruption",
                    ranks.size()
                );
            }
            introduce(&run, device);
            return Ok(Some(run));
        }
    };
    note!("{path} {done}; --from {from} starts another run from it");
    Ok(None)
}

/// Return `error` with advice if it says that the run's data is not there.
fn without_data(error: Error, data: &Path) -> Error {
    match error {
        Error::File { path, .. } if path == data && !path.exists() => {
            let problem = "no such file or folder; resume in the folder in which the run was started, or put the \
                           data there";
            Error::file(path, problem)
        }
        error => error,
    }
}

/// Print the effects of a new length on the schedule and the average.
fn announce_length(options: &Options) {
    if matches!(options.schedule, Schedule::Cosine { .. } | Schedule::OneCycle { .. }) {
        note!(
            "the schedule of the learning rate is that of the new length from this step on, so the rate jumps"
        );
    }
    if matches!(options.average, Some(Average::Swa { .. })) {
        note!("the average starts again, at its share of the new length");
    }
}
