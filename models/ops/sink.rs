//! Gradients of parameters, past candle's store.
//!
//! Candle adds each gradient that an op returns to zeros that it has just made: three passes over memory for
//! what is mostly the only gradient of a parameter, and more time than the products take. During
//! [`backward`] the fused ops hand the gradients of variables over here instead.

use std::cell::RefCell;
use std::collections::HashMap;

use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor, TensorId};

thread_local! {
    /// What has been handed over by the [`backward`] that this thread is in, if it is in one.
    static SINK: RefCell<Option<HashMap<TensorId, Tensor>>> = const { RefCell::new(None) };
}

/// The gradients of a loss.
pub struct Backward {
    store: GradStore,
    sunk: HashMap<TensorId, Tensor>,
}

/// The gradients of `loss`, as [`Tensor::backward`] finds them, faster. Losses that share a layer's call are walked
/// one after another, not at the same time: its nodes hand their gradients to one another beside candle's store.
///
/// # Errors
/// Those of the ops.
pub fn backward(loss: &Tensor) -> Result<Backward> {
    /// Leaves no sink behind when the backward pass fails.
    struct Scope(Option<HashMap<TensorId, Tensor>>);
    impl Drop for Scope {
        fn drop(&mut self) {
            SINK.set(self.0.take());
        }
    }
    let scope = Scope(SINK.replace(Some(HashMap::new())));
    let store = loss.backward()?;
    let sunk = SINK.take().unwrap_or_default();
    drop(scope);
    Ok(Backward { store, sunk })
}

impl Backward {
    /// The gradient of a variable, if the loss depends on it.
    ///
    /// # Errors
    /// Those of the device.
    pub fn get(&self, variable: &Tensor) -> Result<Option<Tensor>> {
        match (self.sunk.get(&variable.id()), self.store.get(variable)) {
            (Some(a), Some(b)) => Ok(Some((a + b.detach())?)),
            (one, other) => Ok(one.cloned().or_else(|| other.map(Tensor::detach))),
        }
    }
}

/// Hands over the gradient of `tensor` where it is a variable and somebody waits for it; else gives it back
/// for candle.
pub(super) fn offer(tensor: &Tensor, gradient: Tensor) -> Result<Option<Tensor>> {
    SINK.with_borrow_mut(|sink| match sink {
        Some(sunk) if tensor.is_variable() => {
            let sum = match sunk.remove(&tensor.id()) {
                Some(other) => (other + gradient)?,
                None => gradient,
            };
            sunk.insert(tensor.id(), sum);
            Ok(None)
        }
        _ => Ok(Some(gradient)),
    })
}
