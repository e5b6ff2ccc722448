//! `rnn train`: a new run, or a run that is resumed.

mod args;
mod classes;
mod effect;
mod introduce;
mod resume;
mod start;

use std::path::{Path, absolute};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub use args::Args;
use resume::resume;
use rnn_zoo::Error;
use rnn_zoo::distributed::connect_devices;
use rnn_zoo::listing::listed;
use rnn_zoo::training::tensorboard::EventWriter;
use rnn_zoo::training::{Ending, Run};
use start::start;

use super::flags::usage;
use super::next_commands::next_commands;
use super::outcome::Outcome;
use super::quote::quoted_path;
use super::{precision, processes};
use crate::cli::note::note;

/// Run the command.
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    processes::silence_others();
    // Before MPI starts: to set the number of threads, the program starts once more.
    let device = args.compute.open()?;
    let command = if args.resume.is_some() { "train --resume" } else { "train" };
    let ranks = connect_devices(processes::start(command)?, &device)?;
    let mut run = match &args.resume {
        Some(bundle) => match resume(bundle, args, &device, &ranks)? {
            Some(run) => run,
            None => return Ok(Outcome::Done),
        },
        None => start(args, &device, &ranks).map_err(|error| args.settings.blame(error))?,
    };
    if let Some(folder) = args.tensorboard.as_ref().filter(|_| ranks.is_first()) {
        check_tensorboard(folder, run.path())?;
        run.write_events(EventWriter::create(folder, run.trainer.progress.step, args.force)?);
    }
    // Before this point Ctrl-C has nothing to save.
    let stop = stop_on_interrupt(&run, ranks.size() > 1)?;
    drive(run, &stop)
}

/// Refuse a folder of events inside the bundle, which a save replaces as a whole.
fn check_tensorboard(folder: &Path, bundle: &Path) -> anyhow::Result<()> {
    let [folder, inside] = [folder, bundle].map(|path| absolute(path).unwrap_or_else(|_| path.to_path_buf()));
    if folder.starts_with(inside) {
        let problem = format!("is inside {}, which a save replaces; choose another folder", bundle.display());
        return Err(usage("--tensorboard", problem));
    }
    Ok(())
}

/// Train to the end and print the next commands.
fn drive(mut run: Run, stop: &AtomicBool) -> anyhow::Result<Outcome> {
    precision::announce(run.trainer.options.precision);
    let ending = run.train(stop);
    let path = run.path().display();
    match ending {
        Ok(Ending::Interrupted) => {
            let step = run.trainer.progress.step;
            let bundle = quoted_path(&path.to_string());
            note!("stopped after step {step}; continue with: rnn train --resume {bundle}");
            Ok(Outcome::Interrupted)
        }
        Ok(ending) => {
            if ending == Ending::EarlyStopped {
                note!("stopped early: validation no longer improves");
            }
            if run.trainer.selected_score.as_ref().is_some_and(|score| score.step == 0) {
                note!("no evaluation was better than the start, whose parameters are kept; try another --lr");
            }
            announce_missed(&run)?;
            let [first, evaluate] = next_commands(&run, &path.to_string());
            note!("saved {path}; next:\n    {first}\n    {evaluate}");
            Ok(Outcome::Done)
        }
        Err(error @ Error::Diverged { .. }) => {
            let saved = match run.has_saved() {
                true => format!("the checkpoint from before is in {path}"),
                false => "nothing is saved".to_string(),
            };
            Err(Error::Message(format!("{error}; {saved}")).into())
        }
        Err(error) => Err(error.into()),
    }
}

/// Print the classes of the validation split that the saved model never predicts.
fn announce_missed(run: &Run) -> anyhow::Result<()> {
    let missed = run.never_predicted()?;
    if missed.is_empty() {
        return Ok(());
    }
    let names = missed.iter().map(|(label, support)| format!("{label:?} ({support} there)"));
    let classes = if missed.len() == 1 { "class" } else { "classes" };
    note!(
        "warning: the model never predicts the {classes} {} on the validation split; more examples of {} may help",
        listed(names, ", "),
        if missed.len() == 1 { "it" } else { "them" }
    );
    Ok(())
}

/// Return a flag that the first Ctrl-C sets; the second ends the process. Before this call, the first one does. Of
/// several processes none ends at the second: a terminal sends one signal and the launcher another.
fn stop_on_interrupt(run: &Run, several: bool) -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let seen = stop.clone();
    let path = run.path().display().to_string();
    ctrlc::set_handler(move || match (seen.swap(true, Ordering::SeqCst), several) {
        (false, false) => note!("stopping after this step, then saving {path}; Ctrl-C again stops at once"),
        (false, true) => note!("stopping after this step, then saving {path}"),
        (true, false) => {
            note!("stopped at once: the steps since the last checkpoint are not saved");
            std::process::exit(130);
        }
        (true, true) => {}
    })?;
    Ok(stop)
}
