//! One product of a time step, tile by tile: the loop that both passes share.

use std::ops::Range;

use pulp::Simd;

use super::super::active_steps::ActiveSteps;
use super::super::memory::Buffer;
use super::super::product::{Operand, Panel, Panels};
use super::super::tuning::{RECURRENT_BLOCK_ROWS, TILE_ROWS, TILE_VECTORS};
use super::super::workers::Worker;
use super::packed::StepPanels;
use super::plan::{Plan, WorkerRows};

/// One product of a time step, and the work on its sums.
///
/// A tile passes three stages: [`start`](Self::start) writes the initial values of its sums, unless they are there,
/// [`multiply`](Self::multiply) adds the product, and [`finish`](Self::finish) does the pointwise part while the
/// sums are in the cache. The first and the last are called for every batch row and group of columns.
///
/// All functions are `#[inline(always)]`, so that a whole pass is compiled as one function per instruction set.
pub(super) trait StepProduct<O: Operand> {
    /// Return the most rows of a tile of panels that are `vectors` wide.
    #[inline(always)]
    fn max_rows<S: Simd>(_vectors: usize) -> usize {
        RECURRENT_BLOCK_ROWS
    }

    /// Return the memory of the sums of a tile from `row` on, if it has their initial values already, in the layout of
    /// a tile: then [`start`](Self::start) is not called, and the sums take the place of those values.
    ///
    /// # Safety
    /// Row and panel must be within the sizes of the pass and the share of this worker, which alone uses the memory.
    #[inline(always)]
    unsafe fn started(&self, _row: usize, _panel: Panel) -> Option<*mut O::Sum> {
        None
    }

    /// Write the initial values of the sums of one row and group.
    ///
    /// # Safety
    /// Row and group must be within the sizes of the pass, and `sums` have room for a group.
    unsafe fn start<S: Simd>(&self, simd: S, row: usize, group: usize, sums: *mut O::Sum);

    /// Add the product to the sums of a tile.
    ///
    /// # Safety
    /// Rows and panel must be within the sizes of the pass, and `sums` have room for the tile.
    unsafe fn multiply<S: Simd>(&self, simd: S, rows: Range<usize>, panel: Panel, sums: *mut O::Sum);

    /// Do the pointwise part of one row and group.
    ///
    /// # Safety
    /// As [`StepProduct::start`], with the sums written.
    unsafe fn finish<S: Simd>(&self, simd: S, row: usize, group: usize, sums: *mut O::Sum);
}

/// One worker's parts of the products of every step.
pub(super) struct WorkerProducts<'a, O: Operand> {
    /// The recurrent product.
    pub(super) recurrent: WorkerProduct<'a, O>,
    /// The projection or the second recurrent product, if there is one.
    pub(super) second: Option<WorkerProduct<'a, O>>,
    /// Whether the worker waits for the others after each product.
    pub(super) synchronises: bool,
    /// Memory for the sums of the largest tile.
    pub(super) sums: Buffer<O::Sum>,
}

impl<'a, O: Operand> WorkerProducts<'a, O> {
    /// Assign the worker its rows of a batch and its panels.
    pub(super) fn new(
        plan: &Plan,
        active: &ActiveSteps,
        panels: &'a StepPanels<O>,
        worker: Worker<'_>,
    ) -> Self {
        let part = plan.rows(active, worker);
        let product = |panels| WorkerProduct::new(plan, &part, panels, worker);
        Self {
            recurrent: product(&panels.hidden),
            second: panels.second.as_ref().map(product),
            synchronises: part.synchronises,
            sums: Buffer::new(RECURRENT_BLOCK_ROWS.max(TILE_ROWS) * TILE_VECTORS * plan.lanes),
        }
    }
}

/// One worker's part of a product of every step: some rows of the batch by some panels.
pub(super) struct WorkerProduct<'a, O> {
    panels: &'a Panels<O>,
    list: Vec<Panel>,
    rows: Range<usize>,
}

impl<'a, O: Operand> WorkerProduct<'a, O> {
    fn new(plan: &Plan, part: &WorkerRows, panels: &'a Panels<O>, worker: Worker<'_>) -> Self {
        Self { panels, list: plan.panels(panels, worker), rows: part.rows.clone() }
    }

    /// Take `product` for all panels of the worker, and its rows among the first `batch`. `sums` is memory for a tile.
    ///
    /// # Safety
    /// The sizes of the pass must be those of the panels and the plan, and `sums` have room for the largest tile.
    #[inline(always)]
    pub(super) unsafe fn run<S: Simd, P: StepProduct<O>>(
        &self,
        simd: S,
        product: &P,
        batch: usize,
        sums: *mut O::Sum,
    ) {
        let rows = self.rows.start.min(batch)..self.rows.end.min(batch);
        for &panel in &self.list {
            let max_rows = P::max_rows::<S>(self.panels.vectors(panel));
            for rows in O::split_rows(rows.clone(), max_rows) {
                // SAFETY: the caller's promise.
                unsafe { self.tile(simd, product, rows, panel, sums) };
            }
        }
    }

    /// Compute one tile. The pointwise part of one tile can overlap with the product of the next.
    #[inline(always)]
    unsafe fn tile<S: Simd>(
        &self,
        simd: S,
        product: &impl StepProduct<O>,
        rows: Range<usize>,
        panel: Panel,
        sums: *mut O::Sum,
    ) {
        let (width, group_width) = (self.panels.width(panel), self.panels.group_width());
        // SAFETY: the caller's promise: rows and panel are those of this worker. What `started` returns has the tile's
        // layout and room for its rows, else `sums` has.
        unsafe {
            let started = product.started(rows.start, panel);
            let sums = started.unwrap_or(sums);
            for (r, row) in rows.clone().enumerate().filter(|_| started.is_none()) {
                for group in 0..panel.groups {
                    let sums = sums.add(r * width + group * group_width);
                    product.start(simd, row, panel.first + group, sums);
                }
            }
            product.multiply(simd, rows.clone(), panel, sums);
            for (r, row) in rows.enumerate() {
                for group in 0..panel.groups {
                    let sums = sums.add(r * width + group * group_width);
                    product.finish(simd, row, panel.first + group, sums);
                }
            }
        }
    }
}
