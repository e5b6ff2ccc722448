//! Tuning constants of the kernels.
//!
//! A constant changes the speed and no bit of a result, except where its comment states otherwise. "Multiplications"
//! are scalar multiply-adds. `scripts/bench/tune NAME VALUE...` measures other values of one constant; it
//! relies on one constant per line, `pub(crate) const NAME: TYPE = VALUE;`.

use std::time::Duration;

// Tiles of matrix products. The micro-kernels are instantiated for the sizes that these constants allow; larger values
// need further lines in `product/tile.rs` and `bf16/dot.rs`, other ones in `int8/dot.rs`.

/// Vectors in a row of the widest tile. A wider tile uses each left element for more columns, but leaves registers for
/// fewer rows.
pub(crate) const TILE_VECTORS: usize = 4;

/// Rows of the tallest tile.
pub(crate) const TILE_ROWS: usize = 12;

/// Vectors of sums in a tile, on processors with 32 registers or more. The remaining registers hold a row of the
/// panel and a broadcast left element.
pub(crate) const TILE_SUMS_OF_32_REGISTERS: usize = 24;

/// Vectors of sums in a tile of int8 on processors with 16 registers; those with 32 divide each sum in parts up to it.
pub(crate) const TILE_SUMS_OF_16_REGISTERS: usize = 12;

/// Rows of the tallest tile of 1, 2, 3 and 4 vectors on processors with 16 registers. With one more the compiler keeps
/// a sum in memory, and the product is slower.
pub(crate) const TILE_ROWS_OF_16_REGISTERS: [usize; 4] = [12, 5, 3, 3];

/// Vectors in a row of a tile of `outer` (gradients of weights). Narrow tiles are tall, and the packed left side
/// is then copied in few moves.
pub(crate) const OUTER_TILE_VECTORS: usize = 3;

// Cache blocking of matrix products.

/// Bytes that stay in a core's own (L2) cache beside the other operands. Panels beyond it are prefetched, and
/// weights beyond it are split among workers rather than read by each of them.
pub(crate) const L2_BYTES: usize = 3 << 18;

/// Depth that a product sums at a time. A panel of this depth and a block of left rows fit the L2 cache
/// together. A multiple of the run of every strided left side (all vectors of a unit's gates).
pub(crate) const DEPTH_BLOCK: usize = 768;

/// Left elements of a block of rows in `dense`: the block stays in the L2 cache while all panels pass by.
pub(crate) const DENSE_BLOCK_ELEMENTS: usize = 1 << 17;

/// Rows of a block in `dense` if the depth exceeds [`DEPTH_BLOCK`]. Bounds the memory for partial sums.
pub(crate) const DENSE_BLOCK_ROWS: usize = 192;

/// Tiles of `outer` whose left side is packed at a time, each [`DEPTH_BLOCK`] deep.
pub(crate) const OUTER_BLOCK_TILES: usize = 8;

/// Depth that is transposed at a time while packing: reads and writes then stay within a few cache lines.
pub(crate) const TRANSPOSE_DEPTH: usize = 16;

// Input projection.

/// Multiplications of a projection or a cross-entropy below which a single thread is faster.
pub(crate) const PARALLEL_PROJECTION_MULTIPLICATIONS: usize = 500_000;

/// Rows per worker from which workers split the rows of a projection rather than its panels.
pub(crate) const SPLIT_ROWS_PER_WORKER: usize = 24;

/// Batch size from which a projection takes its rows step by step, the whole batch at a time. Smaller batches
/// do not fill a tile, and all steps of a sequence are taken at a time instead.
pub(crate) const STEP_MAJOR_BATCH: usize = 6;

// Recurrence.

/// Multiplications of a sequence below which a single thread is faster.
pub(crate) const PARALLEL_SEQUENCE_MULTIPLICATIONS: usize = 500_000;

/// Multiplications of a time step below which a single thread is faster: the barrier takes too much of the step.
pub(crate) const PARALLEL_STEP_MULTIPLICATIONS: usize = 50_000;

/// Rows of the batch per thread from which workers may split the batch.
pub(crate) const SPLIT_BATCH_PER_THREAD: usize = 2;

/// Batch rows whose backward products (and forward projections) are summed before their pointwise part. One
/// block of a panel's depth serves all of them, while their sums stay in the L1 cache.
pub(crate) const RECURRENT_BLOCK_ROWS: usize = 48;

/// Bytes of the gates that a worker computes from the input at a time, with operands narrower than sums.
pub(crate) const CHUNK_BYTES: usize = 1 << 19;

/// The least number of rows that are computed at a time: with fewer, a product is bound by reading its weights.
pub(crate) const CHUNK_MIN_ROWS: usize = 64;

/// Bytes of a worker's weights, of the input and the recurrence, up to which the gates are computed in chunks.
pub(crate) const CHUNK_WEIGHT_BYTES: usize = 3 << 19;

/// Multiplications of a streamed step below which a single thread is faster.
pub(crate) const PARALLEL_STREAM_MULTIPLICATIONS: usize = 60_000;

/// Units of a batch below which a single thread computes the pointwise part of a step faster.
pub(crate) const PARALLEL_POINTWISE_UNITS: usize = 8_000;

// Cross-entropy.

/// Approximate number of scores in memory at a time: those of all classes for a set of rows.
pub(crate) const SCORES: usize = 1 << 22;

/// Vectors of batch rows that are scored at a time, at most.
pub(crate) const SCORE_ROW_VECTORS: usize = 32;

/// Blocks that the classes are cut into, within the two bounds below. Changes the order of the sums over
/// classes and with it the last bits of losses.
pub(crate) const CLASS_BLOCKS: usize = 8;

/// Classes of the smallest block, and the multiple that blocks are rounded up to. Changes last bits likewise.
pub(crate) const CLASS_BLOCK_MIN: usize = 16;

/// Classes of the largest block. Changes last bits likewise.
pub(crate) const CLASS_BLOCK_MAX: usize = 256;

/// Classes whose weights are packed at a time for the gradient of the rows.
pub(crate) const CLASS_DEPTH_BLOCK: usize = 512;

// Memory and threads.

/// Bytes of freed buffers that are kept for reuse, at most.
pub(crate) const SPARE_BYTES: usize = 1 << 28;

/// Bytes of a buffer below which it goes back to the allocator, which is fast enough for small requests.
pub(crate) const SPARE_MIN_BYTES: usize = 1 << 16;

/// Spins at a barrier before a worker yields its time slice: the worker that it waits for may need the core.
pub(crate) const BARRIER_SPINS: u32 = 1 << 14;

/// Time of all workers after which it is decided whether other programs take too much of it.
pub(crate) const CONTENTION_SAMPLE: Duration = Duration::from_millis(20);

/// Share of the workers' time without a core from which one worker alone is faster.
pub(crate) const CONTENTION_SHARE: f64 = 0.2;

/// Time for which kernels have one worker after a sample with too much contention. Doubles with every such sample.
pub(crate) const SINGLE_WORKER_PERIOD: Duration = Duration::from_millis(250);

/// Times that this period doubles, at most.
pub(crate) const CONTENTION_DOUBLINGS: u64 = 5;

// Values that the code does not support do not compile.
const _: () = assert!(TILE_VECTORS <= 4 && OUTER_TILE_VECTORS <= TILE_VECTORS && TILE_ROWS <= 12);
const _: () = assert!(TILE_SUMS_OF_32_REGISTERS <= 24);
const _: () = {
    let [one, two, three, four] = TILE_ROWS_OF_16_REGISTERS;
    assert!(one <= 12 && two <= 12 && three <= 8 && four <= 6);
};
const _: () = assert!(DEPTH_BLOCK.is_multiple_of(192)); // of 1, 3 and 4 gates in vectors of 2 to 16 lanes
const _: () = assert!(TILE_VECTORS >= 4); // the gates of an LSTM are not divided among tiles
