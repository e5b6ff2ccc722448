//! A stream: one text that a model reads token by token.

use candle_core::{Device, Tensor};
use rnn_zoo_models::{State, TokenStream};

use super::model::RnnZooModel;
use super::pointer::{array, copy_to, exclusive, shared};
use super::problem::{Problem, RnnZooCode, guarded};
use crate::logits::log_sum_exp;

/// A text that a model reads token by token. One thread at a time may use a stream; it may move between threads. It
/// keeps what it needs of its model.
pub struct RnnZooStream {
    stream: TokenStream,
    vocabulary: usize,
    /// The shape of the hidden state, (layers, 1, hidden).
    h: [usize; 3],
    /// The shape of the cell state, if the cell has one.
    c: Option<[usize; 3]>,
    /// Whether a token has been read, so that there are scores.
    has_scores: bool,
    /// Whether a call has panicked, after which the numbers mean nothing.
    broken: bool,
}

impl RnnZooStream {
    fn new(model: &RnnZooModel) -> Result<Self, Problem> {
        let model = model.model();
        let unsuited = |problem: &str| Problem::new(RnnZooCode::Unsuited, problem);
        if !model.config.task.is_language_model() {
            let problem =
                format!("the model's task is {}; only a language model has streams", model.config.task);
            return Err(unsuited(&problem));
        }
        let stream = model.network.stream().map_err(Problem::compute)?;
        let mut stream = stream.ok_or_else(|| {
            unsuited("the model's layers have no kernels for single steps, as those with layer normalisation and GRUs that reset before the product")
        })?;
        let State { h, c } = stream.state().map_err(Problem::compute)?;
        let shape = |tensor: &Tensor| -> Result<[usize; 3], Problem> {
            tensor.dims3().map(|(layers, batch, hidden)| [layers, batch, hidden]).map_err(Problem::compute)
        };
        let vocabulary = model.network.output_layer().weight().dims()[0];
        let c = c.as_ref().map(shape).transpose()?;
        Ok(Self { stream, vocabulary, h: shape(&h)?, c, has_scores: false, broken: false })
    }

    /// The number of numbers in a state.
    fn state_size(&self) -> usize {
        let size = |shape: &[usize; 3]| shape.iter().product::<usize>();
        size(&self.h) + self.c.as_ref().map_or(0, size)
    }

    fn scores(&self) -> Result<&[f32], Problem> {
        if !self.has_scores {
            let problem = "there are no scores yet; read a token with rnn_zoo_stream_step first";
            return Err(Problem::new(RnnZooCode::Range, problem));
        }
        self.stream.scores(0).map_err(Problem::compute)
    }

    fn state(&mut self) -> Result<Vec<f32>, Problem> {
        let State { h, c } = self.stream.state().map_err(Problem::compute)?;
        let numbers = |tensor: &Tensor| tensor.flatten_all()?.to_vec1::<f32>();
        let mut state = numbers(&h).map_err(Problem::compute)?;
        if let Some(c) = &c {
            state.extend(numbers(c).map_err(Problem::compute)?);
        }
        Ok(state)
    }

    fn set_state(&mut self, numbers: &[f32]) -> Result<(), Problem> {
        let (h, c) = numbers.split_at(self.h.iter().product());
        let tensor = |numbers: &[f32], shape: [usize; 3]| {
            Tensor::from_slice(numbers, &shape, &Device::Cpu).map_err(Problem::compute)
        };
        let state = State { h: tensor(h, self.h)?, c: self.c.map(|shape| tensor(c, shape)).transpose()? };
        self.stream.set_state(&state).map_err(Problem::compute)?;
        self.has_scores = false;
        Ok(())
    }
}

/// Call a function on a stream, which is refused after a panic.
///
/// # Safety
/// `stream` is null or a stream that is not closed, which nothing else uses meanwhile.
unsafe fn with_stream(
    stream: *mut RnnZooStream,
    call: impl FnOnce(&mut RnnZooStream) -> Result<(), Problem>,
) -> RnnZooCode {
    guarded(|| {
        // SAFETY: by the contract of this function.
        let stream = unsafe { exclusive(stream, "stream") }?;
        if stream.broken {
            let problem = "the stream is broken by an earlier defect; close it";
            return Err(Problem::new(RnnZooCode::Panic, problem));
        }
        stream.broken = true;
        let result = call(stream);
        stream.broken = false;
        result
    })
}

/// Open a stream at the beginning of a text. `*stream` becomes the stream, to be closed with `rnn_zoo_stream_close`;
/// after a failure it becomes null.
///
/// # Safety
/// `model` is null or a model that is not freed; `stream` is null or points to a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rnn_zoo_stream_open(
    model: *const RnnZooModel,
    stream: *mut *mut RnnZooStream,
) -> RnnZooCode {
    guarded(|| {
        // SAFETY: by the contract of this function.
        let (stream, model) = unsafe { (exclusive(stream, "stream")?, shared(model, "model")) };
        *stream = std::ptr::null_mut();
        *stream = Box::into_raw(Box::new(RnnZooStream::new(model?)?));
        Ok(())
    })
}

/// Close a stream. Null is ignored.
///
/// # Safety
/// `stream` is null or a stream that is not closed, which no thread uses any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rnn_zoo_stream_close(stream: *mut RnnZooStream) {
    guarded(|| {
        if !stream.is_null() {
            // SAFETY: by the contract of this function it comes from `Box::into_raw`, and this is its last use.
            drop(unsafe { Box::from_raw(stream) });
        }
        Ok(())
    });
}

/// Read the next token of the text. The scores of the tokens that may follow are then ready.
///
/// # Safety
/// `stream` is null or a stream that is not closed, which no other thread uses.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rnn_zoo_stream_step(stream: *mut RnnZooStream, token: u32) -> RnnZooCode {
    let step = |stream: &mut RnnZooStream| {
        if token as usize >= stream.vocabulary {
            let problem = format!("token {token} is not in the vocabulary of {} tokens", stream.vocabulary);
            return Err(Problem::new(RnnZooCode::Range, problem));
        }
        stream.stream.read_all(&[token]).map_err(Problem::compute)?;
        stream.has_scores = true;
        Ok(())
    };
    // SAFETY: by the contract of this function.
    unsafe { with_stream(stream, step) }
}

/// Copy the scores (logits) of the tokens that may come next, one for each token of the vocabulary, to `scores`, which
/// has room for `capacity` numbers.
///
/// # Safety
/// `stream` is null or a stream that is not closed, which no other thread uses; `scores` is null or has room for
/// `capacity` numbers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rnn_zoo_stream_scores(
    stream: *mut RnnZooStream,
    scores: *mut f32,
    capacity: usize,
) -> RnnZooCode {
    // SAFETY: by the contract of this function.
    unsafe { with_stream(stream, |stream| copy_to(stream.scores()?, scores, capacity, "scores")) }
}

/// Copy the log-probabilities of the tokens that may come next, in nats, to `log_probabilities`, which has room for
/// `capacity` numbers.
///
/// # Safety
/// As `rnn_zoo_stream_scores`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rnn_zoo_stream_log_probabilities(
    stream: *mut RnnZooStream,
    log_probabilities: *mut f32,
    capacity: usize,
) -> RnnZooCode {
    let copy = |stream: &mut RnnZooStream| {
        let scores = stream.scores()?;
        let total = log_sum_exp(scores);
        let values: Vec<f32> = scores.iter().map(|&score| (f64::from(score) - total) as f32).collect();
        // SAFETY: by the contract of this function.
        unsafe { copy_to(&values, log_probabilities, capacity, "log_probabilities") }
    };
    // SAFETY: by the contract of this function.
    unsafe { with_stream(stream, copy) }
}

/// Return the number of numbers in the state of a stream. 0 for null.
///
/// # Safety
/// `stream` is null or a stream that is not closed, which no other thread uses.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rnn_zoo_stream_state_size(stream: *mut RnnZooStream) -> usize {
    let mut size = 0;
    let count = |stream: &mut RnnZooStream| {
        size = stream.state_size();
        Ok(())
    };
    // SAFETY: by the contract of this function.
    unsafe { with_stream(stream, count) };
    size
}

/// Copy the state after the last token to `state`, which has room for `capacity` numbers: the hidden states of all
/// layers, then their cell states, if the cell has them.
///
/// # Safety
/// `stream` is null or a stream that is not closed, which no other thread uses; `state` is null or has room for
/// `capacity` numbers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rnn_zoo_stream_state(
    stream: *mut RnnZooStream,
    state: *mut f32,
    capacity: usize,
) -> RnnZooCode {
    // SAFETY: by the contract of this function.
    unsafe { with_stream(stream, |stream| copy_to(&stream.state()?, state, capacity, "state")) }
}

/// Continue from a state of a stream of the same model: `count` numbers as `rnn_zoo_stream_state` copies them. All zero
/// is the beginning of a text. There are no scores until the next token is read.
///
/// # Safety
/// `stream` is null or a stream that is not closed, which no other thread uses; `state` is null or points to `count`
/// numbers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rnn_zoo_stream_set_state(
    stream: *mut RnnZooStream,
    state: *const f32,
    count: usize,
) -> RnnZooCode {
    let set = |stream: &mut RnnZooStream| {
        let expected = stream.state_size();
        if count != expected {
            let problem = format!("a state of {count} numbers; expected {expected}");
            return Err(Problem::new(RnnZooCode::Range, problem));
        }
        // SAFETY: by the contract of this function.
        stream.set_state(unsafe { array(state, count, "state") }?)
    };
    // SAFETY: by the contract of this function.
    unsafe { with_stream(stream, set) }
}

/// A model may be shared by threads, and a stream may move between them.
const _: () = {
    const fn shared<T: Sync + Send>() {}
    const fn moved<T: Send>() {}
    shared::<RnnZooModel>();
    moved::<RnnZooStream>();
};
