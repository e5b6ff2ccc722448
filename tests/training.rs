//! The training loop on real bundles: a resumed run has the bytes of an uninterrupted one, and runs end for the right
//! reason.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use candle_core::{Device, Tensor};
use proptest::prelude::*;
use rnn_zoo::distributed::SingleProcess;
use rnn_zoo::inference::evaluate::evaluate;
use rnn_zoo::tasks::{Classify, Lm, Names, Tag, Task};
use rnn_zoo::training::optim::{Average, OptimizerConfig};
use rnn_zoo::training::schedule::Schedule;
use rnn_zoo::training::{CardCommands, Checkpoint, Ending, Options, Run};
use rnn_zoo::{Error, Result};

mod distributed;
mod problem;
mod saboteur;
mod step;
mod threads;

use problem::*;
use saboteur::*;

fn train(mut run: Run) -> Result<Ending> {
    run.train(&AtomicBool::new(false))
}

/// A run and the steps at which it is interrupted.
#[derive(Clone, Debug)]
struct Case {
    task: &'static dyn Task,
    valid: bool,
    model: Model,
    options: Options,
    /// One or two steps.
    stops: Vec<usize>,
}

fn any_optimizer() -> impl Strategy<Value = OptimizerConfig> {
    let betas = [0.9, 0.99];
    prop::sample::select(vec![
        OptimizerConfig::Sgd { momentum: 0.9, nesterov: false, weight_decay: 1e-3 },
        OptimizerConfig::Sgd { momentum: 0.8, nesterov: true, weight_decay: 0. },
        OptimizerConfig::Adam { betas, eps: 1e-8, weight_decay: 0. },
        OptimizerConfig::AdamW { betas, eps: 1e-8, weight_decay: 0.01 },
        OptimizerConfig::RmsProp { alpha: 0.9, eps: 1e-8, weight_decay: 0. },
    ])
}

/// Schedules that depend on epochs or evaluations, and schedules that also depend on the length of the run.
fn schedules() -> [Schedule; 5] {
    [
        Schedule::Constant,
        Schedule::Step { every: 1, gamma: 0.5 },
        Schedule::Plateau { factor: 0.5, patience: 0 },
        Schedule::Cosine { warmup_steps: 3, min_ratio: 0.1 },
        Schedule::OneCycle { pct_start: 0.3, div_factor: 25., final_div_factor: 1e4 },
    ]
}

/// Averages that depend on steps or evaluations, and one that also depends on the length of the run: a longer run
/// starts it anew.
const AVERAGES: [Average; 3] =
    [Average::Ema { decay: 0.9 }, Average::NtAsgd { patience: 1 }, Average::Swa { start: 0.5 }];

fn any_case(schedules: &[Schedule], averages: &[Average]) -> impl Strategy<Value = Case> + use<> {
    let task = prop::sample::select(vec![&Lm as &dyn Task, &Classify, &Tag]);
    let noise = prop::array::uniform5(prop::sample::select(vec![0., 0.2]));
    let model = (0..3usize, 1..=2usize, noise, any::<bool>(), any::<bool>())
        .prop_map(|(cell, layers, noise, locked, tied)| Model { cell, layers, noise, locked, tied });
    // A large rate, so that evaluations get worse too and the plateau moves.
    let rate = (prop::sample::select(schedules.to_vec()), prop::sample::select(vec![0.002, 0.1]));
    let length = (2..=18usize).prop_flat_map(|steps| (Just(steps), prop::collection::vec(1..steps, 1..=2)));
    let every = (prop::option::of(2..=6usize), 1..=5usize);
    let rest = (every, prop::sample::select(vec![0., 0.5]), any::<bool>(), 0..1000u64);
    let average = prop::option::of(prop::sample::select(averages.to_vec()));
    let batches = (
        any::<bool>(),
        prop::sample::select(vec![0., 0.3]),
        1..=3usize,
        prop::sample::select(vec![0., 0.1]),
        average,
    );
    (task, model, any_optimizer(), rate, length, rest, batches).prop_map(
        |(
            task,
            model,
            optimizer,
            rate,
            (steps, stops),
            ((eval_every, log_every), clip, valid, seed),
            batches,
        )| {
            let (schedule, lr) = rate;
            let (vary_bptt, state_reset, accumulate, label_smoothing, average) = batches;
            let own =
                Options { optimizer, schedule, lr, eval_every, log_every, clip, seed, ..options(steps) };
            let options = Options { vary_bptt, state_reset, accumulate, label_smoothing, average, ..own };
            Case { task, valid, model, options, stops }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 40, ..ProptestConfig::default() })]

    #[test]
    fn stopped_and_resumed_run_ends_with_the_bytes_and_lines_of_one_left_alone(case in any_case(&schedules(), &AVERAGES)) {
        let problem = Problem::new(case.task, case.valid)?;
        let whole = train(problem.start("whole", &case.model, &case.options)?)?;
        let mut stops = case.stops.clone();
        stops.sort_unstable();
        let mut taken = 0;
        let mut run = problem.start("parts", &case.model, &case.options)?;
        for stop in stops.into_iter().filter(|&stop| stop > 0) {
            if stop > taken {
                // Stopped in one of a step's batches: a step is finished first.
                prop_assert_eq!(train_and_stop(run, stop - taken)?, Ending::Interrupted);
                run = problem.resume("parts", |_| ())?;
                let step = run.trainer.progress.step;
                prop_assert!(step == stop || case.options.accumulate > 1 && (taken + 1..stop).contains(&step));
                taken = step;
            }
        }
        prop_assert_eq!(train(run)?, whole);
        let differences = differences(&problem.files("parts"), &problem.files("whole"));
        prop_assert!(differences.is_empty(), "{:?} differ", differences);
        prop_assert_eq!(problem.lines("parts")?, problem.lines("whole")?);
    }

    #[test]
    fn lengthened_run_ends_with_the_bytes_and_training_lines_of_a_long_one(case in any_case(&schedules()[..3], &AVERAGES[..2])) {
        let problem = Problem::new(case.task, case.valid)?;
        let whole = train(problem.start("whole", &case.model, &case.options)?)?;
        let first = Options { max_steps: Some(case.stops[0]), ..case.options.clone() };
        prop_assert_eq!(train(problem.start("parts", &case.model, &first)?)?, Ending::Finished);
        let longer = problem.resume("parts", |options| options.max_steps = case.options.max_steps)?;
        prop_assert_eq!(train(longer)?, whole);
        let differences = differences(&problem.files("parts"), &problem.files("whole"));
        prop_assert!(differences.is_empty(), "{:?} differ", differences);
        // The first part reports its last step, too.
        let whole = problem.losses("whole", "train")?;
        let (lines, more): (Vec<_>, Vec<_>) =
            problem.losses("parts", "train")?.into_iter().partition(|line| whole.contains(line));
        prop_assert_eq!(lines, whole);
        prop_assert!(more.len() <= 1 && more.iter().all(|(step, _)| *step <= case.stops[0]), "{:?}", more);
    }
}

#[test]
fn the_kept_parameters_are_the_average_and_score_as_evaluated() -> Result<()> {
    let problem = Problem::new(&Lm, true)?;
    let average = Some(Average::Ema { decay: 0.9 });
    let mut run = problem.start("model", &PLAIN, &Options { average, lr: 0.05, ..options(9) })?;
    run.train(&AtomicBool::new(false))?;
    let trainer = &run.trainer;
    let best = trainer.selected_score.as_ref().expect("there was an evaluation");
    let shipped = trainer.selected.clone().expect("an average is shipped");
    let last = trainer.parameters.to_tensors()?;
    let same = |a: &Tensor, b: &Tensor| Ok::<_, Error>((a - b)?.abs()?.max_all()?.to_scalar::<f32>()? == 0.);
    assert!(!same(&shipped["decoder.bias"], &last["decoder.bias"])?, "the average is not the last step");
    trainer.parameters.set_all(&shipped)?;
    let valid = run.splits().valid.as_ref().expect("a validation split");
    let rows = trainer.valid_rows;
    let scores =
        evaluate(run.trainer.network.as_ref(), valid, rows, Lm.meter(Names::default()), &Device::Cpu)?;
    assert_eq!(scores.loss, best.loss);
    Ok(())
}

#[test]
fn checkpoints_without_validation_hold_the_average() -> Result<()> {
    let problem = Problem::new(&Lm, false)?;
    let options = Options { average: Some(Average::Ema { decay: 0.9 }), ..options(6) };
    let run = sabotage(problem.start("model", &PLAIN, &options)?, 5, Action::PoisonStep);
    assert!(train(run).is_err(), "only the checkpoint of step 3 was written");
    let files = problem.files("model");
    assert!(files["model.safetensors"] == files["training/average.safetensors"]);
    assert!(files["model.safetensors"] != files["training/last.safetensors"]);
    Ok(())
}

#[test]
fn epochs_and_steps_both_end_a_run() -> Result<()> {
    let problem = Problem::new(&Tag, true)?; // 30 sequences, 4 at a time: 8 batches an epoch
    for (name, epochs, max_steps, expected) in
        [("a", Some(2), None, (16, 2)), ("b", Some(2), Some(5), (5, 0)), ("c", None, Some(19), (19, 2))]
    {
        let mut run = problem.start(name, &PLAIN, &Options { epochs, max_steps, ..options(0) })?;
        assert_eq!(run.train(&AtomicBool::new(false))?, Ending::Finished);
        assert_eq!((run.trainer.progress.step, run.trainer.progress.epoch), expected);
    }
    Ok(())
}

#[test]
fn last_evaluation_is_of_the_epoch_of_the_last_step() -> Result<()> {
    let problem = Problem::new(&Tag, true)?; // 8 batches an epoch
    for (name, eval_every) in [("a", None), ("b", Some(5))] {
        let options = Options { epochs: Some(2), max_steps: None, eval_every, ..options(0) };
        problem.start(name, &PLAIN, &options)?.train(&AtomicBool::new(false))?;
        let (split, step, epoch, ..) = problem.lines(name)?.pop().unwrap();
        assert_eq!((split.as_str(), step, epoch), ("valid", 16, 1), "{eval_every:?}");
    }
    Ok(())
}

#[test]
fn every_epoch_shuffles_all_examples_anew() -> Result<()> {
    for eval_every in [None, Some(3), Some(8)] {
        let problem = Problem::new(&Tag, false)?;
        let seen = watch(problem.start("model", &PLAIN, &Options { eval_every, ..options(24) })?)?;
        assert!(seen.iter().all(|step| step.before.is_none()), "an example starts from zero");
        let seen: Vec<Vec<u32>> = seen.into_iter().flat_map(|step| step.rows).collect();
        let epochs: Vec<&[Vec<u32>]> = seen.chunks(30).collect();
        assert_eq!(epochs.len(), 3);
        assert!(epochs[0] != epochs[1] && epochs[1] != epochs[2], "two epochs have the same order");
        let sorted = |epoch: &[Vec<u32>]| {
            let mut epoch = epoch.to_vec();
            epoch.sort();
            epoch
        };
        assert!(epochs.iter().all(|epoch| sorted(epoch) == sorted(epochs[0])));
    }
    Ok(())
}

#[test]
fn windows_of_a_stream_continue_from_the_previous_state() -> Result<()> {
    let problem = Problem::new(&Lm, false)?; // 336 characters in 4 rows: 9 windows of 10 steps
    let seen = watch(problem.start("model", &PLAIN, &options(20))?)?;
    for (step, pair) in seen.windows(2).enumerate() {
        let expected = if (step + 1) % 9 == 0 { None } else { Some(&pair[0].after) };
        assert_eq!(pair[1].before.as_ref(), expected, "step {}", step + 2);
    }
    assert_eq!((seen.len(), &seen[0].before, &seen[9].rows), (20, &None, &seen[0].rows));
    Ok(())
}

#[test]
fn a_run_without_improvement_stops_after_its_patience() -> Result<()> {
    let problem = Problem::new(&Lm, true)?;
    let idle = Options { lr: 0., early_stop: Some(3), eval_every: Some(2), ..options(100) };
    let mut run = problem.start("idle", &PLAIN, &idle)?;
    assert_eq!(run.train(&AtomicBool::new(false))?, Ending::EarlyStopped);
    // The first evaluation is the best, and three more are no better.
    assert_eq!(
        (run.trainer.progress.step, run.trainer.progress.best.as_ref().map(|best| best.step)),
        (8, Some(2))
    );
    let steps: Vec<usize> = problem.evaluations("idle")?.into_iter().map(|(step, _)| step).collect();
    assert_eq!(steps, [2, 4, 6, 8]);

    let busy = Options { early_stop: Some(3), eval_every: Some(2), lr: 0.002, ..options(20) };
    assert_eq!(train(problem.start("busy", &PLAIN, &busy)?)?, Ending::Finished);
    Ok(())
}

#[test]
fn the_kept_model_is_that_of_the_best_evaluation() -> Result<()> {
    let problem = Problem::new(&Lm, true)?;
    // The rate rises until the loss goes up again.
    let schedule = Schedule::Cosine { warmup_steps: 30, min_ratio: 0. };
    let options = Options { lr: 0.8, schedule, eval_every: Some(1), ..options(30) };
    let run = problem.start("model", &Model { noise: [0.2; 5], ..PLAIN }, &options)?;
    let rows = run.trainer.valid_rows;
    train(run)?;
    let evaluations = problem.evaluations("model")?;
    let best = evaluations.iter().map(|(_, loss)| *loss).fold(f64::INFINITY, f64::min);
    let (last_step, last) = evaluations[evaluations.len() - 1];
    assert!(last_step == 30 && best < last, "the last evaluation, {last}, is the best: choose another rate");
    let model = rnn_zoo::inference::model::Model::load(&problem.bundle("model"), &Device::Cpu)?;
    let Some(valid) = problem.prepare(&SingleProcess)?.splits.valid else {
        panic!("a fifth is for validation")
    };
    let scores = evaluate(model.network.as_ref(), &valid, rows, Lm.meter(Names::default()), &Device::Cpu)?;
    assert_eq!(scores.loss, best);
    Ok(())
}

#[test]
fn an_unscheduled_last_evaluation_chooses_the_kept_model_only() -> Result<()> {
    let problem = Problem::new(&Lm, true)?;
    // Evaluates after step 3, and at the end.
    let options = Options { schedule: Schedule::Plateau { factor: 0.5, patience: 0 }, ..options(4) };
    train(problem.start("model", &PLAIN, &options)?)?;
    let evaluations = problem.evaluations("model")?;
    assert!(evaluations.len() == 2 && evaluations[1].1 < evaluations[0].1, "{evaluations:?}");
    let files = problem.files("model");
    assert!(files["model.safetensors"] == files["training/last.safetensors"]);
    assert!(files["training/best.safetensors"] != files["training/last.safetensors"]);
    let checkpoint = Checkpoint::open(&problem.bundle("model"), &SingleProcess)?;
    assert_eq!(checkpoint.progress().best.as_ref().map(|best| (best.step, best.loss)), Some(evaluations[0]));
    let stopped = Options { max_steps: Some(100), ..options };
    train_and_stop(problem.start("stopped", &PLAIN, &stopped)?, 4)?;
    let stopped = Checkpoint::open(&problem.bundle("stopped"), &SingleProcess)?;
    let memory = |checkpoint: &Checkpoint| {
        let mut progress = checkpoint.progress().clone();
        progress.scheduler.set_total_steps(0);
        (progress.scheduler, progress.best, progress.without_improvement)
    };
    assert_eq!(memory(&checkpoint), memory(&stopped));
    Ok(())
}

#[test]
fn ctrl_c_ends_the_step_and_saves() -> Result<()> {
    let problem = Problem::new(&Classify, true)?;
    let mut run = problem.start("model", &PLAIN, &options(100))?;
    assert_eq!(run.train(&AtomicBool::new(true))?, Ending::Interrupted);
    assert_eq!(run.trainer.progress.step, 1);
    let checkpoint = Checkpoint::open(&problem.bundle("model"), &SingleProcess)?;
    assert_eq!((checkpoint.progress(), &checkpoint.options), (&run.trainer.progress, &run.trainer.options));
    Ok(())
}

/// A step and its fault.
fn divergence(result: Result<Ending>) -> (usize, &'static str, f64) {
    match result {
        Err(error @ Error::Diverged { step, what, value, learning_rate }) => {
            let message = error.to_string();
            let names =
                format!("at step {step}: the {what} is {value} at learning rate {learning_rate:.3e};");
            assert!(message.contains(&names) && message.lines().count() == 1, "{message}");
            (step, what, value)
        }
        other => panic!("expected a divergence, not {other:?}"),
    }
}

#[test]
fn a_nan_loss_ends_the_run_and_keeps_the_checkpoint() -> Result<()> {
    for (at, action, step, what) in [
        (5, Action::PoisonStep, 5, "loss"),
        // The evaluation that finds it would have been saved.
        (4, Action::PoisonEvaluation, 6, "validation loss"),
    ] {
        let problem = Problem::new(&Lm, true)?;
        train(problem.start("good", &PLAIN, &options(3))?)?;
        let run = sabotage(problem.start("model", &PLAIN, &options(100))?, at, action);
        let (found, symptom, value) = divergence(train(run));
        assert_eq!((found, symptom), (step, what));
        assert!(value.is_nan());
        let differences = differences(&problem.files("model"), &problem.files("good"));
        assert!(differences.is_empty(), "the checkpoint of step 3 has changed: {differences:?}");
        let mut resumed = problem.resume("model", |options| options.max_steps = Some(7))?;
        assert_eq!(resumed.trainer.progress.step, 3);
        assert_eq!(resumed.train(&AtomicBool::new(false))?, Ending::Finished);
    }
    Ok(())
}

#[test]
fn a_loss_ten_times_the_first_ends_the_run_before_a_save() -> Result<()> {
    let sgd = OptimizerConfig::Sgd { momentum: 0., nesterov: false, weight_decay: 0. };
    for (valid, what) in [(false, "loss"), (true, "validation loss")] {
        let problem = Problem::new(&Lm, valid)?;
        let wild = Options {
            optimizer: sgd.clone(),
            lr: 1e5,
            clip: 0.,
            eval_every: valid.then_some(1),
            ..options(100)
        };
        let (step, symptom, value) = divergence(train(problem.start("model", &PLAIN, &wild)?));
        assert!((symptom, value > 20.) == (what, true) && step <= 4, "{symptom} is {value} at step {step}");
        assert!(!problem.bundle("model").exists());
    }
    Ok(())
}

#[test]
fn the_loss_falls_on_learnable_data() -> Result<()> {
    // Without memory the sequences to copy cost ln 8 / 3.5 = 0.59.
    let cases: [(&dyn Task, _, _); 3] = [(&Lm, 200, 0.3), (&Classify, 120, 0.2), (&Tag, 800, 0.45)];
    for (task, steps, bound) in cases {
        for cell in 0..3 {
            let problem = Problem::new(task, false)?;
            let options = Options { eval_every: None, ..options(steps) };
            let mut run = problem.start("model", &Model { cell, ..PLAIN }, &options)?;
            run.train(&AtomicBool::new(false))?;
            let network = run.trainer.network.as_ref();
            let scores =
                evaluate(network, &run.splits().train, 1, task.meter(Names::default()), &Device::Cpu)?;
            assert!(
                scores.loss < bound,
                "{task}, cell {cell}: the loss is {} after {steps} steps",
                scores.loss
            );
        }
    }
    Ok(())
}

#[test]
fn the_card_shows_only_the_commands_that_it_is_given() -> Result<()> {
    let problem = Problem::new(&Lm, true)?;
    let mut run = problem.start("model", &PLAIN, &options(2))?;
    let card = || std::fs::read_to_string(problem.bundle("model").join("README.md")).unwrap();
    run.train(&AtomicBool::new(false))?;
    let without = card();
    assert!(!without.contains("Use it") && !without.contains("reads a text"), "{without}");
    let [repeat, evaluate, first, second] = ["again X", "measure", "use A", "use B"].map(String::from);
    run.show_commands(CardCommands { repeat, evaluate, next: vec![first, second] });
    run.rewrite()?;
    let with = card();
    assert!(with.contains("; `measure` reads a text in 1 |\n"), "{with}");
    assert!(with.ends_with("\nUse it:\n\n    use A\n    use B\n"), "{with}");
    Ok(())
}

#[test]
fn resuming_on_other_data_is_refused() -> Result<()> {
    let problem = Problem::new(&Lm, true)?;
    train(problem.start("model", &PLAIN, &options(2))?)?;
    write(Path::new(&problem.data.data), &"the cat sat. ".repeat(40))?;
    let error = problem.resume("model", |_| ()).map(|_| ()).map_err(|error| error.to_string());
    assert!(
        error.as_ref().is_err_and(|problem| problem.contains("has changed since the run was started")),
        "{error:?}"
    );
    Ok(())
}
