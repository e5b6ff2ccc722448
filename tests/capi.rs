//! The functions of `include/rnn_zoo.h`: from Rust, and with a shared library from C and Python.

// Everything here calls functions that take pointers.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::ptr::{null, null_mut};

use candle_core::Device;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rnn_zoo::capi::*;
use rnn_zoo::inference::Model;

use crate::cli::{Folder, TINY, TINY_SEQUENCES};

const STEPS: usize = 10_000;

/// A model through the functions, freed at the end.
struct Loaded(*mut RnnZooModel);

impl Loaded {
    fn new(path: &Path) -> Self {
        let path = CString::new(path.to_str().unwrap()).unwrap();
        let mut model = null_mut();
        // SAFETY: both pointers are valid.
        assert_eq!(unsafe { rnn_zoo_model_load(path.as_ptr(), &mut model) }, RnnZooCode::Ok, "{}", last());
        Self(model)
    }

    fn stream(&self) -> Opened {
        let mut stream = null_mut();
        // SAFETY: the model is not freed.
        assert_eq!(unsafe { rnn_zoo_stream_open(self.0, &mut stream) }, RnnZooCode::Ok, "{}", last());
        Opened(stream)
    }

    fn vocabulary(&self) -> usize {
        // SAFETY: the model is not freed.
        unsafe { rnn_zoo_model_vocabulary_size(self.0) }
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        // SAFETY: the model is not freed.
        unsafe { rnn_zoo_model_free(self.0) };
    }
}

/// A stream through the functions, closed at the end.
struct Opened(*mut RnnZooStream);

// SAFETY: a stream may move between threads.
unsafe impl Send for Opened {}

impl Opened {
    fn read(&mut self, token: u32, vocabulary: usize) -> Vec<f32> {
        let mut scores = vec![0.; vocabulary];
        // SAFETY: the stream is open, and there is room for the scores.
        unsafe {
            assert_eq!(rnn_zoo_stream_step(self.0, token), RnnZooCode::Ok, "{}", last());
            assert_eq!(
                rnn_zoo_stream_scores(self.0, scores.as_mut_ptr(), vocabulary),
                RnnZooCode::Ok,
                "{}",
                last()
            );
        }
        scores
    }

    fn state(&self) -> Vec<f32> {
        // SAFETY: the stream is open, and there is room for the state.
        unsafe {
            let mut state = vec![0.; rnn_zoo_stream_state_size(self.0)];
            assert_eq!(
                rnn_zoo_stream_state(self.0, state.as_mut_ptr(), state.len()),
                RnnZooCode::Ok,
                "{}",
                last()
            );
            state
        }
    }

    fn set_state(&mut self, state: &[f32]) -> RnnZooCode {
        // SAFETY: the stream is open.
        unsafe { rnn_zoo_stream_set_state(self.0, state.as_ptr(), state.len()) }
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        // SAFETY: the stream is open.
        unsafe { rnn_zoo_stream_close(self.0) };
    }
}

fn last() -> String {
    // SAFETY: the message of this thread ends with NUL.
    unsafe { CStr::from_ptr(rnn_zoo_last_error()) }.to_str().unwrap().to_string()
}

/// Random tokens of a model, and the scores of the library's own stream after each.
fn expected(bundle: &Path) -> (Vec<u32>, Vec<Vec<f32>>) {
    let model = Model::load(bundle, &Device::Cpu).unwrap();
    let vocabulary = model.config.network.vocabulary_size().unwrap() as u32;
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let tokens: Vec<u32> = (0..STEPS).map(|_| rng.random_range(0..vocabulary)).collect();
    let mut stream = model.network.stream().unwrap().unwrap();
    let scores = tokens.iter().map(|&token| stream.read(token).unwrap().to_vec()).collect();
    (tokens, scores)
}

fn bits(scores: &[f32]) -> Vec<u32> {
    scores.iter().map(|score| score.to_bits()).collect()
}

#[test]
fn steps_are_those_of_the_library_to_the_bit() {
    let folder = Folder::new();
    for model in ["simple-rnn", "lstm", "gru"] {
        let sizes = TINY.replace("--layers 1", "--layers 2");
        folder.done(&format!("train {model} --data text.txt --out {model} {sizes}"));
        let (tokens, scores) = expected(&folder.path(model));
        let loaded = Loaded::new(&folder.path(model));
        let (mut stream, mut other) = (loaded.stream(), loaded.stream());
        let vocabulary = loaded.vocabulary();
        for (step, (&token, expected)) in tokens.iter().zip(&scores).enumerate() {
            if step == STEPS / 2 {
                // The other goes on from here, and this one begins anew.
                assert_eq!(other.set_state(&stream.state()), RnnZooCode::Ok);
                assert_eq!(stream.set_state(&vec![0.; stream.state().len()]), RnnZooCode::Ok);
                std::mem::swap(&mut stream, &mut other);
            }
            assert_eq!(bits(&stream.read(token, vocabulary)), bits(expected), "{model}, step {step}");
        }
        assert_eq!(bits(&other.read(tokens[0], vocabulary)), bits(&scores[0]), "{model} anew");
        // Streams outlive their model, and move to other threads.
        drop(loaded);
        let state = stream.state();
        let moved = std::thread::spawn(move || {
            assert_eq!(stream.set_state(&state), RnnZooCode::Ok);
            stream.read(0, vocabulary)
        });
        assert_eq!(moved.join().unwrap().len(), vocabulary);
    }
}

#[test]
fn log_probabilities_are_those_of_the_softmax() {
    let folder = Folder::with_model();
    let loaded = Loaded::new(&folder.path("m"));
    let mut stream = loaded.stream();
    let scores = stream.read(1, loaded.vocabulary());
    let mut found = vec![0f32; scores.len()];
    // SAFETY: the stream is open, and there is room for the numbers.
    let code = unsafe { rnn_zoo_stream_log_probabilities(stream.0, found.as_mut_ptr(), found.len()) };
    assert_eq!(code, RnnZooCode::Ok);
    let total = scores.iter().map(|&score| f64::from(score).exp()).sum::<f64>().ln();
    for (score, found) in scores.iter().zip(&found) {
        assert!((f64::from(*score) - total - f64::from(*found)).abs() < 1e-6, "{score} {found}");
    }
    let sum: f64 = found.iter().map(|&p| f64::from(p).exp()).sum();
    assert!((sum - 1.).abs() < 1e-6, "{sum}");
}

#[test]
fn texts_become_tokens_and_back() {
    let folder = Folder::with_model();
    let loaded = Loaded::new(&folder.path("m"));
    let model = Model::load(&folder.path("m"), &Device::Cpu).unwrap();
    let expected = model.tokenizer().unwrap().encode("the").unwrap();
    let (mut tokens, mut count, mut start) = ([0u32; 8], 0, u32::MAX);
    let (mut text, mut length) = ([1; 8], 0);
    // SAFETY: all pointers are valid, and the capacities are those of the arrays.
    unsafe {
        let encode = |tokens: &mut [u32], count: &mut usize| {
            rnn_zoo_model_encode(loaded.0, c"the".as_ptr(), tokens.as_mut_ptr(), tokens.len(), count)
        };
        assert_eq!(encode(&mut tokens, &mut count), RnnZooCode::Ok);
        assert_eq!(tokens[..count], expected);
        count = 0;
        assert_eq!(encode(&mut tokens[..1], &mut count), RnnZooCode::Range);
        assert!(
            count == expected.len() && last().contains("tokens has room for 1 elements; expected 3"),
            "{}",
            last()
        );
        let capacity = text.len();
        let code = rnn_zoo_model_token_text(loaded.0, expected[0], text.as_mut_ptr(), capacity, &mut length);
        assert_eq!((code, length, CStr::from_ptr(text.as_ptr())), (RnnZooCode::Ok, 1, c"t"));
        let code = rnn_zoo_model_token_text(loaded.0, 1 << 30, text.as_mut_ptr(), capacity, &mut length);
        assert!(code == RnnZooCode::Range && last().contains("is not in the vocabulary"), "{}", last());
        assert_eq!(rnn_zoo_model_start_token(loaded.0, &mut start), RnnZooCode::Ok);
    }
    assert_eq!(start, model.start_token().unwrap());
}

#[test]
fn wrong_calls_have_codes_and_messages() {
    let folder = Folder::with_model();
    let loaded = Loaded::new(&folder.path("m"));
    let stream = loaded.stream();
    let mut model: *mut RnnZooModel = null_mut();
    let mut scores = [0f32; 1];
    let missing = CString::new(folder.path("none").to_str().unwrap()).unwrap();
    let refused = |code: RnnZooCode, expected: RnnZooCode, mention: &str| {
        assert!(code == expected && last().contains(mention), "{code:?}: {}", last());
    };
    // SAFETY: every pointer is null or valid.
    unsafe {
        refused(rnn_zoo_model_load(null(), &mut model), RnnZooCode::Argument, "path is a null pointer");
        refused(
            rnn_zoo_model_load(missing.as_ptr(), null_mut()),
            RnnZooCode::Argument,
            "model is a null pointer",
        );
        refused(rnn_zoo_model_load(c"\xff".as_ptr(), &mut model), RnnZooCode::Argument, "path is not UTF-8");
        refused(
            rnn_zoo_model_load(missing.as_ptr(), &mut model),
            RnnZooCode::Bundle,
            "there is no bundle here",
        );
        assert!(model.is_null());
        refused(
            rnn_zoo_stream_scores(stream.0, scores.as_mut_ptr(), 1),
            RnnZooCode::Range,
            "there are no scores yet",
        );
        refused(rnn_zoo_stream_step(stream.0, u32::MAX), RnnZooCode::Range, "token 4294967295 is not in");
        refused(rnn_zoo_stream_step(null_mut(), 0), RnnZooCode::Argument, "stream is a null pointer");
        assert_eq!(rnn_zoo_stream_step(stream.0, 0), RnnZooCode::Ok);
        refused(
            rnn_zoo_stream_scores(stream.0, scores.as_mut_ptr(), 1),
            RnnZooCode::Range,
            "has room for 1 elements",
        );
        refused(
            rnn_zoo_stream_scores(stream.0, null_mut(), 99),
            RnnZooCode::Argument,
            "scores is a null pointer",
        );
        refused(
            rnn_zoo_stream_set_state(stream.0, scores.as_ptr(), 1),
            RnnZooCode::Range,
            "a state of 1 numbers; expected 16",
        );
        refused(
            rnn_zoo_stream_set_state(stream.0, null(), 16),
            RnnZooCode::Argument,
            "state is a null pointer",
        );
        assert_eq!(rnn_zoo_model_vocabulary_size(null()), 0);
        assert_eq!(rnn_zoo_stream_state_size(null_mut()), 0);
        rnn_zoo_model_free(null_mut());
        rnn_zoo_stream_close(null_mut());
    }
}

#[test]
fn models_without_streams_are_refused() {
    let folder = Folder::new();
    folder.write("reviews.csv", "text,label\ngood,1\nbad,0\nfine,1\npoor,0\ngreat,1\nawful,0\n".repeat(4));
    folder.done(&format!("train lstm --data reviews.csv --label-column label --out c {TINY_SEQUENCES}"));
    folder.done(&format!("train lstm --data text.txt --out n --layer-norm {TINY}"));
    for (name, mention) in [("c", "only a language model has streams"), ("n", "no kernels for single steps")]
    {
        let loaded = Loaded::new(&folder.path(name));
        let mut stream = null_mut();
        // SAFETY: the model is not freed.
        let code = unsafe { rnn_zoo_stream_open(loaded.0, &mut stream) };
        assert!(code == RnnZooCode::Unsuited && stream.is_null() && last().contains(mention), "{}", last());
    }
}

#[test]
fn header_declares_every_function() {
    // scripts/interop/header --check compares the whole text.
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |name: &str| std::fs::read_to_string(root.join(name)).unwrap();
    let header = read("include/rnn_zoo.h");
    let sources = ["problem", "model", "stream"].map(|name| read(&format!("src/capi/{name}.rs"))).concat();
    let functions = sources.split("extern \"C\" fn ").skip(1).map(|rest| rest.split('(').next().unwrap());
    let functions: Vec<&str> = functions.collect();
    assert_eq!(functions.len(), sources.matches("#[unsafe(no_mangle)]").count());
    assert!(
        functions.len() > 10 && functions.iter().all(|name| header.contains(&format!("{name}("))),
        "{functions:?}"
    );
    assert!(header.contains(&format!("RNN_ZOO_CODE_PANIC = {},", RnnZooCode::Panic as i32)));
}

/// The shared library, as `scripts/interop/c/run` names it, and its folder of programs.
fn library() -> (PathBuf, PathBuf) {
    let library = std::env::var_os("RNN_ZOO_C_LIBRARY")
        .expect("run scripts/interop/c/run, which sets RNN_ZOO_C_LIBRARY");
    (library.into(), Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/interop/c"))
}

/// Run a program on the tokens of a model, and compare the scores that it writes with those of the library.
fn compare(folder: &Folder, mut program: Command) {
    let (tokens, scores) = expected(&folder.path("m"));
    let bytes = |numbers: Vec<u32>| numbers.into_iter().flat_map(u32::to_le_bytes).collect::<Vec<u8>>();
    folder.write("tokens", bytes(tokens));
    let output = program.args(["m", "tokens", "scores"].map(|name| folder.path(name))).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let expected = bytes(bits(&scores.concat()));
    assert!(std::fs::read(folder.path("scores")).unwrap() == expected, "{program:?}: another score");
}

#[test]
#[ignore = "needs a shared library; scripts/interop/c/run builds it"]
fn c_program_computes_the_same_bits() {
    let (library, programs) = library();
    let folder = Folder::with_model();
    let program = folder.path("steps");
    let place = library.parent().unwrap().display();
    let include = Path::new(env!("CARGO_MANIFEST_DIR")).join("include");
    let mut compiler = Command::new("cc");
    compiler.args(["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-O1"]).arg("-I").arg(include);
    compiler
        .arg(programs.join("steps.c"))
        .arg(&library)
        .arg(format!("-Wl,-rpath,{place}"))
        .arg("-o")
        .arg(&program);
    let compiled = compiler.output().unwrap();
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    compare(&folder, Command::new(program));
}

#[test]
#[ignore = "needs a shared library; scripts/interop/c/run builds it"]
fn python_program_computes_the_same_bits() {
    let (library, programs) = library();
    let mut program = Command::new("python3");
    program.arg(programs.join("steps.py")).env("RNN_ZOO_C_LIBRARY", library);
    compare(&Folder::with_model(), program);
}
