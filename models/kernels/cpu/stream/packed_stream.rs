//! All layers of a stream.

use pulp::{Simd, WithSimd};

use super::super::memory::Buffer;
use super::super::product::Operand;
use super::super::simd::{Float, Isa};
use super::super::tuning::PARALLEL_STREAM_MULTIPLICATIONS;
use super::super::workers::{Kernel, Worker, run_kernel, threads, threads_for};
use super::layer::{StreamLayer, StreamStep};
use super::linear::StreamLinear;
use super::rows::{StreamRows, SumRows};

/// Recurrent layers, and linear layers after them if there is a decoder, that read one step after another.
pub(crate) struct PackedStream<O: Operand> {
    isa: Isa,
    layers: Vec<StreamLayer<O>>,
    /// The linear layers in their order; the outputs of the last one are the scores.
    decoder: Vec<StreamLinear<O>>,
    /// Memory for rows of operands.
    rounded: StreamRows<O>,
    /// The batch, and which of each layer's two hidden states is the current one.
    state: StreamStep,
}

impl<O: Operand> PackedStream<O> {
    /// Make a stream of one sequence. The first layer of `decoder` reads the output of the last of `layers`.
    ///
    /// # Panics
    /// If there is no recurrent layer, if a layer does not have as many features as the one before has outputs, or if
    /// one was packed for another instruction set's vectors.
    pub(crate) fn new(isa: Isa, layers: Vec<StreamLayer<O>>, decoder: Vec<StreamLinear<O>>) -> Self {
        let lanes = isa.lanes::<O::Sum>();
        assert!(layers.iter().all(|layer| layer.lanes() == lanes), "vectors of a recurrent layer");
        assert!(decoder.iter().all(|linear| linear.lanes() == lanes), "vectors of a linear layer");
        for pair in layers.windows(2) {
            assert_eq!(pair[1].input(), pair[0].output(), "features of a layer");
        }
        let mut width = layers.last().map(StreamLayer::output);
        assert!(width.is_some(), "a stream has at least one recurrent layer");
        for linear in &decoder {
            assert_eq!(width, Some(linear.features()), "features of a linear layer");
            width = Some(linear.outputs());
        }
        let rounded = StreamRows::new(threads(), 1, max_width(&layers, &decoder));
        Self { isa, layers, decoder, rounded, state: StreamStep { batch: 1, current: 0 } }
    }

    /// Return the number of workers for a step.
    fn workers(&self) -> usize {
        let recurrent: usize = self.layers.iter().map(StreamLayer::multiplications).sum();
        let linear: usize = self.decoder.iter().map(|linear| linear.features() * linear.outputs()).sum();
        let workers = threads_for((recurrent + linear) * self.state.batch, PARALLEL_STREAM_MULTIPLICATIONS);
        workers.min(self.rounded.workers())
    }

    /// Return the number of sequences in the batch.
    pub(crate) fn batch(&self) -> usize {
        self.state.batch
    }

    /// Return the number of features of a step.
    pub(crate) fn input_size(&self) -> usize {
        self.layers[0].input()
    }

    /// Continue with the sequences of these indices, in this order; one may occur several times.
    ///
    /// # Panics
    /// If an index is not below the batch.
    pub(crate) fn select(&mut self, rows: &[usize]) {
        let batch = self.state.batch;
        assert!(rows.iter().all(|&row| row < batch), "rows of {batch}: {rows:?}");
        self.replace_state(rows.len(), |from, width| {
            let to = Buffer::zeros(rows.len() * width);
            for (index, &row) in rows.iter().enumerate() {
                // SAFETY: both buffers have rows of that width, the old one as many as the batch; `to` is new.
                unsafe { std::ptr::copy_nonoverlapping(from.at(row * width), to.at(index * width), width) };
            }
            to
        });
    }

    /// Continue with `batch` sequences, all in the zero state.
    pub(crate) fn resize(&mut self, batch: usize) {
        self.replace_state(batch, |_, width| Buffer::zeros(batch * width));
    }

    fn replace_state(&mut self, batch: usize, gather: impl Fn(&Buffer<O::Sum>, usize) -> Buffer<O::Sum>) {
        self.state.batch = batch;
        self.rounded = StreamRows::new(threads(), batch, max_width(&self.layers, &self.decoder));
        for layer in &mut self.layers {
            layer.replace_state(self.state, &gather);
        }
        for linear in &mut self.decoder {
            let (ys, width) = linear.ys();
            let ys = gather(ys, width);
            linear.set_ys(ys);
        }
    }

    /// Return the size of each layer's hidden state and, if there is one, cell state.
    pub(crate) fn sizes(&self) -> impl Iterator<Item = (usize, Option<usize>)> {
        self.layers.iter().map(|layer| (layer.output(), layer.cells()))
    }

    /// Read a step `x`, (batch, features of the first layer); [`PackedStream::output`] returns the result.
    ///
    /// # Panics
    /// If `x` has another size.
    pub(crate) fn step(&mut self, x: &[O::Sum]) {
        assert_eq!(x.len(), self.state.batch * self.input_size(), "features of a step");
        let step = StreamKernel { stream: self, x };
        // SAFETY: the constructors and `replace_state` make every buffer as large as the weights and the batch
        // demand. Workers share `self` through `step` alone, and `self` is borrowed mutably.
        unsafe { run_kernel(self.isa, self.workers(), &step) };
        self.state.current = 1 - self.state.current;
    }

    /// Return the result of sequence `row`: the scores, or without a decoder the last layer's output.
    ///
    /// # Panics
    /// If `row` is not below the batch.
    pub(crate) fn output(&self, row: usize) -> &[O::Sum] {
        assert!(row < self.state.batch, "row {row} of {}", self.state.batch);
        let ((buffer, width), count) = match (self.decoder.last(), self.layers.last()) {
            (Some(linear), _) => (linear.ys(), linear.outputs()),
            (None, Some(layer)) => (layer.h(self.state.current), layer.output()),
            (None, None) => return &[],
        };
        // SAFETY: the buffer has a row of that width for each sequence, zero at first; only `&mut self` writes.
        unsafe { std::slice::from_raw_parts(buffer.at(row * width), count) }
    }

    /// Return the states of sequence `row`, layer by layer: (output) hidden and, if there is one, (hidden) cell.
    ///
    /// # Panics
    /// If `row` is not below the batch.
    pub(crate) fn states(
        &mut self,
        row: usize,
    ) -> impl Iterator<Item = (&mut [O::Sum], Option<&mut [O::Sum]>)> {
        let StreamStep { batch, current } = self.state;
        assert!(row < batch, "row {row} of {batch}");
        // SAFETY: every layer has a state for each sequence of the batch.
        self.layers.iter_mut().map(move |layer| unsafe { layer.state_mut(current, row) })
    }
}

/// Return the number of elements of the widest row that enters a product.
fn max_width<O: Operand>(layers: &[StreamLayer<O>], decoder: &[StreamLinear<O>]) -> usize {
    let recurrent = layers.iter().map(StreamLayer::max_width);
    recurrent.chain(decoder.iter().map(StreamLinear::features)).max().unwrap_or(0)
}

/// The kernel of a step.
struct StreamKernel<'a, O: Operand> {
    stream: &'a PackedStream<O>,
    x: &'a [O::Sum],
}

impl<O: Operand> Kernel for StreamKernel<'_, O> {
    fn run_as<W: WithSimd<Output = ()>>(isa: Isa, part: W) {
        O::run_as(isa, part);
    }

    /// # Safety
    /// Every buffer of the stream, and `x`, must have the size of the batch.
    #[inline(always)]
    unsafe fn run<S: Simd>(&self, simd: S, worker: Worker<'_>) {
        // SAFETY: the caller's promise.
        unsafe {
            match self.stream.state.batch {
                // A batch of one, the usual case, is compiled separately, without loops over rows.
                1 => self.layers::<S, true>(simd, worker),
                _ => self.layers::<S, false>(simd, worker),
            }
        }
    }
}

impl<O: Operand> StreamKernel<'_, O> {
    /// Compute one worker's part of all layers.
    ///
    /// # Safety
    /// As [`StreamKernel::run`].
    #[inline(always)]
    unsafe fn layers<S: Simd, const SINGLE: bool>(&self, simd: S, worker: Worker<'_>) {
        let PackedStream { layers, decoder, rounded, state, .. } = self.stream;
        let width = self.stream.input_size();
        let (mut x, mut depth) = (SumRows { start: self.x.as_ptr(), width }, width);
        // SAFETY: the caller's promise. Workers write their own units and outputs, and read those of others only
        // after a barrier.
        unsafe {
            for layer in layers {
                let left = rounded.left(simd, (worker, 0), x, (state.batch, depth), O::Sum::ZERO);
                layer.step::<S, SINGLE>(simd, worker, (left, rounded), *state);
                worker.wait();
                let (h, width) = layer.h(1 - state.current);
                (x, depth) = (SumRows { start: h.at(0), width }, layer.output());
            }
            for (index, linear) in decoder.iter().enumerate() {
                if let Some(previous) = index.checked_sub(1).map(|index| &decoder[index]) {
                    worker.wait();
                    let (ys, width) = previous.ys();
                    (x, depth) = (SumRows { start: ys.at(0), width }, previous.outputs());
                }
                let left = rounded.left(simd, (worker, 0), x, (state.batch, depth), O::Sum::ZERO);
                linear.step::<S, SINGLE>(simd, worker, left, *state);
            }
        }
    }
}
