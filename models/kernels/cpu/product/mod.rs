//! Matrix products, all but small ones from one micro-kernel.
//!
//! The scheme is the usual one of GEMM. The right-hand side is packed into panels, as wide as a tile and stored
//! in the order in which they are read. A tile of a few rows by one panel's width stays in registers while the
//! micro-kernel sums over the depth. Products deeper than a cache block are summed block by block, with partial
//! sums kept in memory.
//!
//! Each element of a result is one sum in ascending order of depth, started from the element's initial value
//! (a bias, say). Neither the size of a tile nor of a block nor the number of workers changes that order, so
//! none of them changes a bit of the result.
//!
//! | file | content |
//! |---|---|
//! | `operand.rs` | the types that factors are stored in, apart from the type of the sums |
//! | `operands.rs` | a matrix as left-hand side, rounded by all workers |
//! | `left.rs`, `layout.rs` | strided left-hand sides; the layout of sequences, which gives such sides |
//! | `panels.rs` | packed right-hand sides |
//! | `tile.rs`, `micro_kernel.rs` | the sizes of tiles; the product of one tile |
//! | `dense.rs` | `left * right` |
//! | `matrix.rs` | products of plain matrices: with a packed one, and sums of outer products |
//! | `rows.rs` | weighted sums of rows, without the micro-kernel |
//! | `outer.rs` | `left^T * right` and column sums, for gradients of weights and biases |

mod dense;
mod layout;
mod left;
mod matrix;
mod micro_kernel;
mod operand;
mod operands;
mod outer;
mod panels;
mod rows;
mod tile;

pub(crate) use dense::{add_product, dense};
pub(crate) use layout::SequenceLayout;
pub(crate) use left::LeftRows;
pub(crate) use matrix::{PackedMatrix, outer_products};
pub(crate) use micro_kernel::TileProduct;
pub(crate) use operand::{GradientOperand, Operand, SumVector};
pub(crate) use operands::Operands;
pub(crate) use outer::{column_sums, outer, steps_left};
pub(crate) use panels::{Panel, PanelShape, Panels};
pub(crate) use rows::{ROW_SUMS, add_outer_products_of_rows, add_weighted};
pub(crate) use tile::{TileBuffer, max_rows, split_evenly, split_full};
