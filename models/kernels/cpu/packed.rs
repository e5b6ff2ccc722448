//! Weights laid out for the products of a sequence.

use pulp::Simd;

use super::Isa;
use super::panels::Panels;
use super::project::{PackedInput, weight_row};
use super::sequence::{Plan, Recurrent, Shape};
use super::simd::Real;
use super::workers::{self, Kernel, Worker};
use crate::kernels::cell_kind::CellKind;

/// Weights that do not change, packed once for the forward pass.
pub(crate) struct Packed<E> {
    pub(super) hidden: Panels<E>,
    pub(super) projection: Option<Panels<E>>,
}

/// All weights of a layer that do not change, packed once.
pub(crate) struct PackedLayer<E> {
    /// Numbers of the vectors that they were packed for.
    pub lanes: usize,
    input: PackedInput<E>,
    recurrent: Packed<E>,
}

impl<E: Real> PackedLayer<E> {
    /// Packs the weights of the input, (gates * hidden, input), the recurrent ones, (gates * hidden, output), and
    /// the projection, (output, hidden), if there is one. All are cut alike: [`Stream`](super::Stream) relies on
    /// it.
    pub(crate) fn new(
        isa: Isa,
        unit: CellKind,
        shape: Shape,
        [ih, hh]: [&[E]; 2],
        projection: Option<&[E]>,
    ) -> Self {
        let workers = workers::threads();
        let Shape { hidden, gates, .. } = shape;
        let input = ih.len() / (gates * hidden).max(1);
        let input_shape = super::InputShape { batch: 0, time: 0, input, hidden, gates };
        Self {
            lanes: isa.lanes::<E>(),
            input: PackedInput::new(isa, input_shape, ih, workers),
            recurrent: Packed::new(isa, unit, shape, hh, projection, workers),
        }
    }

    /// For [`project`](super::project).
    pub(crate) fn input(&self) -> &PackedInput<E> {
        &self.input
    }

    /// For [`forward`](super::forward).
    pub(crate) fn recurrent(&self) -> &Packed<E> {
        &self.recurrent
    }

    /// Of the input, of the recurrent product and of the projection.
    pub(super) fn panels(&self) -> (&Panels<E>, &Panels<E>, Option<&Panels<E>>) {
        (&self.input.0, &self.recurrent.hidden, self.recurrent.projection.as_ref())
    }
}

/// The weights of the products of a step.
#[derive(Clone, Copy)]
pub(super) struct Products<'a, E> {
    /// Rows of the gates that the first product is for, of `output` numbers each.
    pub(super) first: &'a [E],
    /// The projection, (output, hidden), or the last gate's rows, for a cell with a second product.
    pub(super) second: Option<&'a [E]>,
}

impl<'a, E> Products<'a, E> {
    pub(super) fn new(twice: bool, shape: Shape, weight: &'a [E], projection: Option<&'a [E]>) -> Self {
        match twice {
            true => {
                let (first, second) = weight.split_at((shape.gates - 1) * shape.hidden * shape.output);
                Self { first, second: Some(second) }
            }
            false => Self { first: weight, second: projection },
        }
    }
}

impl<E: Real> Packed<E> {
    pub(super) fn empty(shape: Shape, plan: &Plan, projects: bool) -> Self {
        let Plan { lanes, units, outputs, workers, .. } = *plan;
        let projection = projects.then(|| Panels::new(shape.hidden, outputs, 1, lanes, workers));
        Self { hidden: Panels::new(shape.output, units, shape.gates, lanes, workers), projection }
    }

    /// Packs `weight`, (gates * hidden, output), and the projection, (output, hidden), if there is one,
    /// for so many workers.
    fn new(
        isa: Isa,
        unit: CellKind,
        shape: Shape,
        weight: &[E],
        projection: Option<&[E]>,
        workers: usize,
    ) -> Self {
        struct Pack<'a, E>(&'a Packed<E>, Shape, Products<'a, E>);
        impl<E: Real> Kernel for Pack<'_, E> {
            #[inline(always)]
            unsafe fn run<S: Simd>(&self, simd: S, worker: Worker<'_>) {
                let &Self(packed, shape, products) = self;
                // SAFETY: nobody uses the panels yet.
                unsafe { packed.fill(simd, shape, products, worker) };
            }
        }
        let plan = Plan { workers, ..Plan::new::<E>(shape, isa.lanes::<E>(), 1) };
        let products = Products::new(unit == CellKind::GruBefore, shape, weight, projection);
        let packed = Self::empty(shape, &plan, products.second.is_some());
        // SAFETY: it asks for nothing.
        unsafe { workers::run_kernel(isa, 1, &Pack(&packed, shape, products)) };
        packed
    }

    /// One worker's share of packing.
    ///
    /// # Safety
    /// Nobody may use the panels before all workers have met.
    #[inline(always)]
    pub(super) unsafe fn fill<S: Simd>(
        &self,
        simd: S,
        shape: Shape,
        products: Products<'_, E>,
        worker: Worker<'_>,
    ) {
        let Shape { hidden, output, gates, .. } = shape;
        // SAFETY: the caller's promise; rows are cut to the panels' depth.
        unsafe {
            let column = |column| {
                let row = weight_row(column, gates, hidden, E::lanes::<S>())?;
                Some(products.first.get(row * output..)?.get(..output)?.as_ptr())
            };
            self.hidden.of(worker).for_each(|panel| self.hidden.pack_transposed(simd, panel, column));
            for (panels, second) in self.projection.iter().zip(products.second) {
                let row = |row: usize| Some(second.get(row * hidden..)?.get(..hidden)?.as_ptr());
                panels.of(worker).for_each(|panel| panels.pack_transposed(simd, panel, row));
            }
        }
    }

    pub(super) fn views(&self) -> Recurrent<'_, E> {
        Recurrent { hidden: &self.hidden, projection: self.projection.as_ref() }
    }
}
