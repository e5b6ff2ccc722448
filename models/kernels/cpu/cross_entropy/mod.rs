//! A linear layer and the cross-entropy of its softmax, fused: the scores of all classes for all rows are never in
//! memory at once, and the gradients are computed with the loss.
//!
//! With `s = W h + b` the scores of a row, and `e` the label smoothing:
//!
//! ```text
//! loss = log sum exp s - (1 - e) s[target] - e mean s
//! d s  = softmax(s) - (1 - e) at the target - e / classes     times 1 / rows, the weight of a row in the mean
//! d W += d s h^T        d b += d s        d h = W^T d s
//! ```
//!
//! Rows are taken in sets, each of which is scored completely before the next. The product of a set is transposed:
//! classes are the rows of its result and batch rows the columns. So the weights need no packing, and a softmax is
//! a sum of vectors, one lane per batch row.
//!
//! Workers share the classes in blocks. The size of a block depends on the number of classes alone, so that every
//! sum is taken in the same order for any number of workers.
//!
//! | file | content |
//! |---|---|
//! | `shape.rs` | sizes, and how sets and blocks are cut |
//! | `kernel.rs` | the entry point, the buffers and the order of the stages |
//! | `scores.rs` | packing a set; its scores |
//! | `softmax.rs` | exponentials, losses, correct predictions |
//! | `gradients.rs` | gradients of scores, weights, bias and rows |

mod gradients;
mod kernel;
mod scores;
mod shape;
mod softmax;
mod work;

pub(crate) use kernel::{CrossEntropyGradients, CrossEntropyInputs, cross_entropy, losses};
