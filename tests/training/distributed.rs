//! Training on several processes: the same curve as on one, exact resume, and refusal of processes that differ.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use candle_core::{Device, Tensor};
use half::bf16;
use rnn_zoo::data::batch::{Batch, Targets};
use rnn_zoo::data::cut::Cut;
use rnn_zoo::data::dataset::{Dataset, Epoch};
use rnn_zoo::data::{Corpus, ReadOptions, Shard, Source, Split, SplitTokens};
use rnn_zoo::distributed::{Communicator, SingleProcess, Wire, all_reduce, any, broadcast, gather};
use rnn_zoo::inference::carry::Carried;
use rnn_zoo::models::Precision;
use rnn_zoo::tasks::{Classify, DataSpec, Forecast, Lm, Measured, Names, Tag, Task};
use rnn_zoo::tokenizer::{Kind, Tokenizer};
use rnn_zoo::training::optim::Average;
use rnn_zoo::training::{self, Ending, Options, Run};
use rnn_zoo::{Error, Result};
use tempfile::TempDir;

use super::problem::*;
use super::threads::{on_connected_ranks, on_ranks};
use super::train_and_stop;

/// Rounding differs between numbers of processes, because sums are in another order.
const TOLERANCE: f64 = 1e-4;

fn close(found: f64, expected: f64) -> bool {
    (found - expected).abs() <= TOLERANCE * expected.abs().max(1e-3)
}

/// Train on `size` processes. Every process ends with the same parameters.
fn train_on(problem: &Problem, size: usize, name: &str, model: &Model, options: &Options) -> Result<()> {
    let train = |mut run: Run| {
        assert_eq!(run.train(&AtomicBool::new(false))?, Ending::Finished);
        let numbers = |tensor: &Tensor| tensor.flatten_all()?.to_vec1::<f32>();
        let parameters = run.trainer.parameters.to_tensors()?;
        Ok::<_, Error>(parameters.values().map(numbers).collect::<candle_core::Result<Vec<_>>>()?)
    };
    let ends = on_ranks(size, |ranks| train(problem.start_on(ranks, name, model, options)?));
    let ends: Vec<_> = ends.into_iter().collect::<Result<_>>()?;
    assert!(
        ends.iter().all(|parameters| *parameters == ends[0]),
        "{name}: the processes have other parameters"
    );
    Ok(())
}

#[test]
fn sums_are_those_of_all_ranks_in_their_order() {
    fn sums<W: Wire<Sum = f32>>(size: usize, count: usize) -> Vec<Vec<f32>> {
        let own = |rank: usize| (0..count).map(move |at| 0.1 + (rank * 31 + at) as f32 / 7.);
        let sums = on_ranks(size, |ranks| {
            let mut numbers: Vec<f32> = own(ranks.rank()).collect();
            all_reduce::<W>(ranks.as_ref(), &mut numbers);
            numbers
        });
        let sum = |at: usize| {
            let of_ranks = (0..size).filter_map(|rank| own(rank).nth(at)).map(|x| W::encode(x).decode());
            of_ranks.fold(0., |sum, x| sum + x)
        };
        let expected: Vec<f32> = (0..count).map(|at| W::encode(sum(at)).decode()).collect();
        assert_eq!(sums[0], expected, "{size} ranks, {count} numbers");
        sums
    }
    for size in [2, 3, 4] {
        for count in [1, 2, 5, 64] {
            for sums in [sums::<f32>(size, count), sums::<bf16>(size, count)] {
                assert!(sums.iter().all(|numbers| *numbers == sums[0]), "all ranks have the same bits");
            }
        }
    }
}

#[test]
fn values_of_all_ranks_come_in_their_order() {
    let found = on_ranks(3, |ranks| {
        let own = vec![ranks.rank() as u8; ranks.rank()];
        let first = broadcast(ranks.as_ref(), vec![7; 3 - ranks.rank()]);
        let all = gather(ranks.as_ref(), &own);
        (all, first, any(ranks.as_ref(), ranks.rank() == 1), any(ranks.as_ref(), false))
    });
    for (bytes, first, one, none) in found {
        assert_eq!(bytes, [vec![], vec![1], vec![2, 2]]);
        assert_eq!(first, [7; 3]);
        assert!(one && !none);
    }
}

/// A file of many lines, each with its number.
fn write_lines(folder: &TempDir) -> PathBuf {
    let path = folder.path().join("lines.txt");
    let line = |number: usize| format!("line {number} of a text {}\n", "with more words ".repeat(number % 5));
    std::fs::write(&path, (0..300).map(line).collect::<String>()).unwrap();
    path
}

fn problem_of(error: impl std::fmt::Display) -> Error {
    Error::Message(error.to_string())
}

#[test]
fn rows_that_processes_keep_are_those_of_the_whole_text() -> Result<()> {
    let folder = tempfile::tempdir().map_err(problem_of)?;
    let corpus = Corpus::open(&Source::File(write_lines(&folder)), &ReadOptions::default(), 1)?;
    let numbers = |batch: Batch| -> Result<_> {
        let Targets::Classes(classes) = &batch.targets else { panic!("tokens are classes") };
        let inputs = batch.inputs.as_steps()?.to_vec2::<u32>()?;
        Ok((inputs, classes.to_vec2::<u32>()?, batch.lengths, batch.fresh))
    };
    for kind in [Kind::Char, Kind::Word, Kind::Bpe(300)] {
        let tokenizer = Tokenizer::train(&kind, corpus.texts(Split::Train)?, None, false)?;
        let read = |ranks: &dyn Communicator| -> Result<Dataset> {
            let tokens = SplitTokens::encode_part(&corpus, Split::Train, &tokenizer, ranks)?;
            Ok(Dataset::Stream { tokens, start: tokenizer.start(false) })
        };
        let whole = read(&SingleProcess)?;
        let training = Cut { batch_size: 10, window: 7, trim: true, vary: false };
        for cut in [training, Cut { batch_size: 3, trim: false, ..training }] {
            for size in [2, 3, 4] {
                let kept = on_ranks(size, |ranks| {
                    let mut own = read(ranks.as_ref())?;
                    let fingerprint = own.fingerprint(ranks.as_ref())?;
                    own.keep_rows(cut, ranks.as_ref())?;
                    Ok::<_, Error>((own, fingerprint))
                });
                for (rank, kept) in kept.into_iter().enumerate() {
                    let (own, fingerprint) = kept?;
                    assert_eq!(fingerprint, whole.fingerprint(&SingleProcess)?, "{kind} on {size}");
                    let counts = |data: &Dataset| (data.len(), data.unknown(tokenizer.unknown()));
                    assert_eq!(counts(&own), counts(&whole));
                    let (own, whole) = (own.epoch(cut, None)?, whole.epoch(cut, None)?);
                    assert_eq!(own.len(), whole.len());
                    for index in 0..whole.len() {
                        let of = |epoch: &Epoch<'_>| {
                            let batch = epoch.shard(index, Shard { rank, size }, &Device::Cpu)?;
                            batch.map(numbers).transpose()
                        };
                        assert_eq!(of(&own)?, of(&whole)?, "{kind} on {size}, rank {rank}, batch {index}");
                    }
                }
            }
        }
    }
    Ok(())
}

#[test]
fn text_that_differs_is_refused_where_a_process_reads_it() -> Result<()> {
    let folder = tempfile::tempdir().map_err(problem_of)?;
    let path = write_lines(&folder);
    let text = std::fs::read_to_string(&path).map_err(problem_of)?;
    let read = |other: &str| -> Result<Vec<Result<usize>>> {
        let copy = folder.path().join("copy.txt");
        std::fs::write(&copy, other).map_err(problem_of)?;
        Ok(on_ranks(2, |ranks| {
            let file = if ranks.is_first() { &path } else { &copy };
            let data = DataSpec::new(file.display().to_string());
            let prepared = training::prepare(&Lm, &data, Kind::Char.into(), ranks.as_ref())?;
            Ok(prepared.splits.train.len())
        }))
    };
    let refused = |other: &str| -> Result<String> {
        let errors: Vec<String> =
            read(other)?.into_iter().map(|found| found.unwrap_err().to_string()).collect();
        assert_eq!(errors[0], errors[1]);
        Ok(errors[0].clone())
    };
    for other in [text.replace("line 200 ", "line 2OO "), text[..text.len() - 2000].to_string()] {
        let error = refused(&other)?;
        assert!(error.starts_with("rank 1 has a part of the train split with the checksum "), "{error}");
    }
    let error = refused(&text.replace("line 282 ", "line 28Z "))?;
    assert!(error.starts_with("rank 1 has a part of the valid split with the checksum "), "{error}");
    // The second process does not read the first lines: they are those of the first process.
    let counts: Vec<usize> =
        read(&text.replace("line 20 ", "line 2O "))?.into_iter().collect::<Result<_>>()?;
    assert_eq!(counts[0], counts[1]);
    Ok(())
}

#[test]
fn curve_is_that_of_one_process() -> Result<()> {
    // 36 texts and 30 sequences in batches of 8 leave a last batch with fewer rows than four processes.
    let plain =
        Options { batch_size: 8, bptt: 5, lr: 0.005, log_every: 1, eval_every: Some(10), ..options(40) };
    let cases: [(&dyn Task, Options); 4] = [
        (&Lm, Options { label_smoothing: 0.1, vary_bptt: true, ..plain.clone() }),
        (&Classify, Options { accumulate: 2, average: Some(Average::Ema { decay: 0.9 }), ..plain.clone() }),
        (&Tag, Options { clip: 0.1, ..plain.clone() }),
        (&Forecast, Options { batch_size: 5, ..plain }),
    ];
    for (task, options) in cases {
        let problem = Problem::new(task, true)?;
        let model = Model { layers: 2, tied: true, ..PLAIN };
        train_on(&problem, 1, "one", &model, &options)?;
        let expected = problem.lines("one")?;
        assert!(expected.len() >= 40, "{task}: {} lines", expected.len());
        for size in [2, 4] {
            let name = format!("on-{size}");
            train_on(&problem, size, &name, &model, &options)?;
            let found = problem.lines(&name)?;
            assert_eq!(found.len(), expected.len(), "{task}");
            for (found, expected) in found.iter().zip(&expected) {
                let same = (&found.0, found.1, found.2) == (&expected.0, expected.1, expected.2);
                assert!(same && close(found.3, expected.3), "{task} on {size}: {found:?}, {expected:?}");
            }
        }
    }
    Ok(())
}

#[test]
fn gradients_in_bf16_are_rounded_and_learn_as_well() -> Result<()> {
    let problem = Problem::new(&Lm, true)?;
    let exact = Options { batch_size: 8, lr: 0.005, ..options(40) };
    let rounded = Options { reduce: Precision::Bf16, ..exact.clone() };
    for (name, size, options) in [("exact", 2, &exact), ("rounded", 2, &rounded), ("alone", 1, &rounded)] {
        train_on(&problem, size, name, &PLAIN, options)?;
    }
    train_on(&problem, 1, "one", &PLAIN, &exact)?;
    let files = |name| problem.files(name)["training/last.safetensors"].clone();
    assert!(files("rounded") != files("exact"));
    assert!(files("alone") == files("one"), "a single process sends no gradients");
    let last = |name| Ok::<_, Error>(problem.evaluations(name)?.last().map_or(f64::NAN, |(_, loss)| *loss));
    let (exact, rounded) = (last("exact")?, last("rounded")?);
    assert!((rounded - exact).abs() < 0.02 * exact, "loss {rounded} after rounding, {exact} without");
    Ok(())
}

#[test]
fn gradients_summed_on_devices_have_the_same_bytes() -> Result<()> {
    for (task, reduce) in
        [(&Lm as &dyn Task, Precision::F32), (&Lm, Precision::Bf16), (&Classify, Precision::F32)]
    {
        let problem = Problem::new(task, true)?;
        // The last batch of an epoch leaves a process without examples, and so without gradients.
        let options = Options { batch_size: 8, bptt: 5, lr: 0.005, reduce, ..options(20) };
        train_on(&problem, 3, "usual", &PLAIN, &options)?;
        let ends = on_connected_ranks(3, |ranks| {
            problem.start_on(ranks, "connected", &PLAIN, &options)?.train(&AtomicBool::new(false))
        });
        ends.into_iter().collect::<Result<Vec<_>>>()?;
        let differing = differences(&problem.files("usual"), &problem.files("connected"));
        assert!(differing.is_empty(), "{task} in {reduce}: {differing:?} differ");
    }
    Ok(())
}

/// Every source of random numbers: each process draws masks of its own.
fn noisy() -> (Model, Options) {
    let model = Model { noise: [0.2; 5], layers: 2, ..PLAIN };
    (model, Options { batch_size: 8, bptt: 5, state_reset: 0.3, lr: 0.005, ..options(12) })
}

#[test]
fn stopped_and_resumed_run_of_several_processes_has_the_bytes_of_one_left_alone() -> Result<()> {
    for task in [&Lm as &dyn Task, &Classify] {
        let problem = Problem::new(task, true)?;
        let (model, mut options) = noisy();
        if !task.is_language_model() {
            options.state_reset = 0.;
        }
        for size in [2, 3] {
            let (whole, parts) = (format!("whole-{size}"), format!("parts-{size}"));
            train_on(&problem, size, &whole, &model, &options)?;
            let stopped = on_ranks(size, |ranks| {
                // One process sees the signal; all stop after the same step.
                let at = if ranks.rank() == size - 1 { 5 } else { usize::MAX };
                train_and_stop(problem.start_on(ranks, &parts, &model, &options)?, at)
            });
            for ending in stopped {
                assert_eq!(ending?, Ending::Interrupted);
            }
            let ended = on_ranks(size, |ranks| {
                problem.resume_on(ranks, &parts, |_| ())?.train(&AtomicBool::new(false))
            });
            ended.into_iter().collect::<Result<Vec<_>>>()?;
            let differing = differences(&problem.files(&whole), &problem.files(&parts));
            assert!(differing.is_empty(), "{task} on {size}: {differing:?} differ");
            assert_eq!(problem.lines(&whole)?, problem.lines(&parts)?);
        }
    }
    Ok(())
}

#[test]
fn run_goes_on_with_another_number_of_processes() -> Result<()> {
    let problem = Problem::new(&Lm, true)?;
    let options = Options { batch_size: 8, bptt: 5, lr: 0.005, ..options(12) };
    train_on(&problem, 1, "whole", &PLAIN, &options)?;
    for stop in on_ranks(4, |ranks| train_and_stop(problem.start_on(ranks, "parts", &PLAIN, &options)?, 5)) {
        assert_eq!(stop?, Ending::Interrupted);
    }
    let ends = on_ranks(2, |ranks| problem.resume_on(ranks, "parts", |_| ())?.train(&AtomicBool::new(false)));
    ends.into_iter().collect::<Result<Vec<_>>>()?;
    for (found, expected) in problem.evaluations("parts")?.iter().zip(problem.evaluations("whole")?) {
        assert!(found.0 == expected.0 && close(found.1, expected.1), "{found:?}, {expected:?}");
    }
    Ok(())
}

#[test]
fn each_process_draws_its_own_masks() -> Result<()> {
    let problem = Problem::new(&Lm, false)?;
    let (model, options) = noisy();
    train_on(&problem, 2, "model", &model, &options)?;
    let text = std::fs::read_to_string(problem.bundle("model").join("training/state.json"));
    let state: serde_json::Value = serde_json::from_str(&text.map_err(|e| Error::Message(e.to_string()))?)
        .map_err(|error| Error::Message(error.to_string()))?;
    let [first, second] = [&state["state"]["progress"]["noise"], &state["state"]["other_noise"][0]];
    assert_eq!(first["seed"], second["seed"]);
    assert_ne!(first["stream"], second["stream"]);
    assert_ne!(second["word"], "0", "it has drawn");
    Ok(())
}

#[test]
fn processes_that_differ_are_refused() -> Result<()> {
    let problem = Problem::new(&Lm, true)?;
    let other = Problem::new(&Classify, true)?;
    let refused = |change: fn(&mut Options), of_other: bool| {
        let results = on_ranks(3, |ranks| {
            let mut own = Options { batch_size: 8, bptt: 5, ..options(3) };
            let differs = ranks.rank() == 1;
            if differs {
                change(&mut own);
            }
            let problem = if differs && of_other { &other } else { &problem };
            problem.start_on(ranks, "refused", &PLAIN, &own).map(drop).unwrap_err().to_string()
        });
        assert!(results.iter().all(|error| *error == results[0]), "{results:?}");
        results[0].clone()
    };
    let error = refused(|options| options.lr = 0.5, false);
    assert!(error.starts_with("rank 1 has option `lr` 0.5, but rank 0 has 0.02; start every"), "{error}");
    let error = refused(|_| (), true);
    assert!(error.starts_with("rank 1 has the task classify, but rank 0 has lm; start every"), "{error}");
    let few = on_ranks(3, |ranks| {
        let few = Options { batch_size: 2, bptt: 5, ..options(3) };
        problem.start_on(ranks, "few", &PLAIN, &few).map(drop).unwrap_err().to_string()
    });
    assert!(few[2].starts_with("batch_size: is 2, less than the 3 processes"), "{few:?}");
    Ok(())
}

#[test]
fn different_parameters_are_refused_before_the_first_step() -> Result<()> {
    let problem = Problem::new(&Lm, true)?;
    let errors = on_ranks(2, |ranks| {
        let rank = ranks.rank();
        let mut run = problem.start_on(ranks, "model", &PLAIN, &Options { bptt: 5, ..options(3) })?;
        let (_, var) = run.trainer.parameters.iter().next().expect("a network has parameters");
        var.set(&(var.as_tensor() + rank as f64)?)?;
        run.train(&AtomicBool::new(false))
    });
    for error in errors {
        let error = error.unwrap_err().to_string();
        assert!(error.starts_with("rank 1 has parameters with the checksum "), "{error}");
    }
    Ok(())
}

#[test]
fn sums_of_evaluations_in_two_processes_are_those_of_one() -> Result<()> {
    for task in [&Lm as &dyn Task, &Classify, &Tag, &Forecast] {
        let problem = Problem::new(task, true)?;
        let run = problem.start("model", &PLAIN, &options(1))?;
        let (network, config) = (run.trainer.network.as_ref(), run.config());
        let meter = || {
            let (tokenizer, labels, schema) = (run.tokenizer(), &config.labels, &config.schema);
            task.meter(Names { tokenizer, labels, schema })
        };
        let (mut one, mut first, mut second) = (meter(), meter(), meter());
        let cut = Cut { batch_size: 4, window: 8, trim: false, vary: false };
        let epoch = run.splits().train.epoch(cut, None)?;
        assert!(epoch.len() > 2, "{task}");
        for index in 0..epoch.len() {
            let batch = epoch.batch(index, &Device::Cpu)?;
            let part = if 2 * index < epoch.len() { &mut first } else { &mut second };
            one.add(network, &batch, &mut Carried::default())?;
            part.add(network, &batch, &mut Carried::default())?;
        }
        let parts = [first.sums()?, second.sums()?];
        first.combine(&parts)?;
        let (found, expected) = (first.measured(), one.measured());
        assert_eq!((found.targets, &found.classes), (expected.targets, &expected.classes), "{task}");
        let baselines = |measured: &Measured| {
            let naive =
                measured.baselines.iter().flat_map(|baselines| [&baselines.naive, &baselines.seasonal_naive]);
            naive
                .flat_map(|figures| figures.iter().map(|(_, value)| value).collect::<Vec<_>>())
                .collect::<Vec<_>>()
        };
        let all = |measured: &Measured| {
            let figures = measured.figures.iter().map(|(_, value)| value);
            std::iter::once(measured.loss).chain(figures).chain(baselines(measured)).collect::<Vec<_>>()
        };
        let (found, expected) = (all(&found), all(&expected));
        assert_eq!(found.len(), expected.len(), "{task}");
        for (found, expected) in found.iter().zip(&expected) {
            assert!((found - expected).abs() <= 1e-9 * expected.abs().max(1.), "{task}: {found}, {expected}");
        }
    }
    Ok(())
}
