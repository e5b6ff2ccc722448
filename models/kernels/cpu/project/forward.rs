//! The forward product of a projection.

use pulp::{Simd, WithSimd};

use super::super::active_steps::{ActiveSteps, StepOrder};
use super::super::memory::Buffer;
use super::super::padding::gate_order;
use super::super::product::{Operand, Operands, dense};
use super::super::simd::{Float, Isa, Vector};
use super::super::workers::{Kernel, Worker, run_kernel};
use super::packed::PackedInput;
use super::shape::{InputShape, splits_rows};
use super::steps::LayerInput;

/// Compute the input's part of the gates, `xs weight^T + bias`, as a
/// [`SequenceLayout`](super::super::product::SequenceLayout) of gates. `xs` is (batch, time, input), `weight`
/// (gates * hidden, input) and `bias` (gates * hidden). Packed weights are not packed again.
///
/// # Panics
/// If a slice does not have the size of `shape`, or `packed` was made for another shape or vector length.
pub(crate) fn project<O: Operand>(isa: Isa, input: &LayerInput<'_, O>) -> Buffer<O::Sum> {
    let LayerInput { shape, active, xs, weight, bias, packed } = *input;
    let InputShape { input: features, hidden, gates, .. } = shape;
    let lanes = isa.lanes::<O::Sum>();
    input.check(lanes);
    let order = active.order(shape.is_by_step());
    let workers = shape.workers(order.len(), lanes);
    let fresh = packed.is_none().then(|| PackedInput::uninitialised(shape, lanes, workers));
    let packed_weight = packed.or(fresh.as_ref()).expect("invariant: fresh if not packed");
    let result = Buffer::new(shape.rows() * shape.gate_width(lanes));
    let projection = Projection {
        shape,
        active,
        xs: match active.is_full() {
            true => Operands::new(xs, features),
            false => Operands::of_rows(xs, features, order.rows_of(active)),
        },
        order,
        unpacked: packed.is_none().then_some(weight),
        packed: packed_weight,
        bias: &gate_order(bias, gates, hidden, lanes),
        gates: &result,
    };
    // SAFETY: sizes were checked above.
    unsafe { run_kernel(isa, workers, &projection) };
    result
}

/// The kernel of [`project`].
struct Projection<'a, O: Operand> {
    shape: InputShape,
    active: &'a ActiveSteps,
    order: StepOrder,
    /// The input of all steps, or, if some are not active, of the active steps in `order`.
    xs: Operands<'a, O>,
    /// The weights, unless they are packed already.
    unpacked: Option<&'a [O::Sum]>,
    packed: &'a PackedInput<O>,
    /// The bias in the order of the gates.
    bias: &'a Buffer<O::Sum>,
    gates: &'a Buffer<O::Sum>,
}

impl<O: Operand> Kernel for Projection<'_, O> {
    fn run_as<W: WithSimd<Output = ()>>(isa: Isa, part: W) {
        O::run_as(isa, part);
    }

    /// # Safety
    /// Every slice and buffer must have the size of the shape.
    #[inline(always)]
    unsafe fn run<S: Simd>(&self, simd: S, worker: Worker<'_>) {
        let (shape, order, panels) = (self.shape, &self.order, self.packed.panels());
        let layout = shape.layout(O::Sum::lanes::<S>());
        // SAFETY: the caller's promise. Workers write different rows, or different columns, and read panels
        // that others packed only after the barrier.
        unsafe {
            if let Some(weight) = self.unpacked {
                self.packed.pack(simd, shape, weight, worker);
            }
            self.xs.round(simd, worker);
            worker.wait();
            let (rows, panel_list) = match splits_rows(order.len(), worker.count) {
                true => (worker.share(order.len()), panels.all().to_vec()),
                false => (0..order.len(), panels.share(worker).collect()),
            };
            let (is_full, row_step) =
                (self.active.is_full(), if shape.is_by_step() { shape.time } else { 1 });
            let left = |index| {
                let (t, row) = order.step_and_row(index);
                match is_full {
                    true => self.xs.rows(row * shape.time + t, row_step),
                    false => self.xs.rows(index, 1),
                }
            };
            let run_end = |index| if is_full { order.run_end(index) } else { usize::MAX };
            dense(
                simd,
                rows,
                (left, run_end),
                panels,
                &panel_list,
                |_, panel, tile| {
                    let bias = self.bias.at(panel.first * layout.width);
                    Vector::<S, O::Sum>::copy(simd, bias, tile, panel.groups * layout.width);
                },
                |index, panel, tile| {
                    let (t, row) = order.step_and_row(index);
                    for group in 0..panel.groups {
                        let to = self.gates.at(layout.at(t, panel.first + group, row));
                        Vector::<S, O::Sum>::copy(simd, tile.add(group * layout.width), to, layout.width);
                    }
                },
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    const SHAPE: InputShape = InputShape { batch: 2, time: 3, input: 5, hidden: 20, gates: 3 };

    fn values(count: usize) -> Vec<f32> {
        (0..count).map(|index| (index as f32 * 0.37).sin()).collect()
    }

    /// Compute the gates of [`SHAPE`].
    fn gates(isa: Isa, packed: Option<&PackedInput<f32>>) -> Vec<f32> {
        let (xs, weight) = (values(2 * 3 * 5), values(3 * 20 * 5));
        let active = ActiveSteps::new(None, (2, 3));
        let input =
            LayerInput { shape: SHAPE, active: &active, xs: &xs, weight: &weight, bias: None, packed };
        let gates = project::<f32>(isa, &input);
        // SAFETY: `project` has written all gates.
        unsafe { std::slice::from_raw_parts(gates.at(0), gates.len()) }.to_vec()
    }

    #[test]
    fn packed_weights_change_no_bit() {
        for isa in Isa::available() {
            let packed = PackedInput::new(isa, SHAPE, &values(3 * 20 * 5), 3);
            assert_eq!(gates(isa, Some(&packed)), gates(isa, None), "{}", isa.name());
        }
    }

    #[test]
    fn packed_weights_of_other_sizes_are_refused() {
        let isa = Isa::available()[0];
        for other in [
            InputShape { input: 4, ..SHAPE },
            InputShape { hidden: 40, ..SHAPE },
            InputShape { hidden: 1, ..SHAPE },
            InputShape { gates: 4, ..SHAPE },
        ] {
            let weight = values(other.gates * other.hidden * other.input);
            let packed = PackedInput::new(isa, other, &weight, 1);
            let refused = catch_unwind(AssertUnwindSafe(|| gates(isa, Some(&packed))));
            let message = *refused.unwrap_err().downcast::<String>().unwrap();
            assert!(message.starts_with("packed input weights do not fit"), "{other:?}: {message}");
        }
    }

    #[test]
    fn packed_weights_of_another_vector_length_are_refused() {
        let isas = Isa::available();
        let (widest, portable) = (isas[0], isas[isas.len() - 1]);
        if widest.lanes::<f32>() == portable.lanes::<f32>() {
            return; // this processor has vectors of one length only
        }
        let packed = PackedInput::new(portable, SHAPE, &values(3 * 20 * 5), 1);
        assert!(catch_unwind(AssertUnwindSafe(|| gates(widest, Some(&packed)))).is_err());
    }
}
