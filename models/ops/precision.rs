//! The precision of products.

use std::cell::Cell;

/// The precision of the operands of matrix products in f32.
///
/// A property of a run, not of a layer: the tensors stay in f32, and so do sums, pointwise functions, states, and
/// gradients. Layers use the precision of [`Precision::scope`]; the backward pass that of its forward pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Precision {
    /// All digits of an f32.
    #[default]
    F32,
    /// Operands rounded to bf16 (8 digits of 2), for the fused recurrent layers, streams, and linear layers under a
    /// cross-entropy on the processor. Everything else stays in f32.
    Bf16,
}

thread_local! {
    static SCOPE: Cell<Precision> = const { Cell::new(Precision::F32) };
}

impl Precision {
    /// Return the precision of this thread: that of the innermost [`Precision::scope`], else [`Precision::F32`].
    pub fn current() -> Self {
        SCOPE.get()
    }

    /// Run `work`, in which this thread's layers have this precision.
    ///
    /// ```
    /// use candle_core::{DType, Device, Tensor};
    /// use candle_nn::{VarBuilder, VarMap};
    /// use rnn_zoo_models::{Gru, GruConfig, Precision, Recurrent};
    ///
    /// let parameters = VarMap::new();
    /// let vb = VarBuilder::from_varmap(&parameters, DType::F32, &Device::Cpu);
    /// let gru = Gru::new(&GruConfig::new(4, 8), vb)?;
    /// let xs = Tensor::randn(0f32, 1., (2, 10, 4), &Device::Cpu)?;
    /// let exact = gru.run(&xs, None, None)?.ys;
    /// let ys = Precision::Bf16.scope(|| gru.run(&xs, None, None))?.ys;
    /// let error = (ys - exact)?.abs()?.max_all()?.to_scalar::<f32>()?;
    /// assert!(error > 0. && error < 0.02);
    /// # Ok::<(), candle_core::Error>(())
    /// ```
    pub fn scope<T>(self, work: impl FnOnce() -> T) -> T {
        /// Restores the previous precision, also on unwinding.
        struct Restore(Precision);
        impl Drop for Restore {
            fn drop(&mut self) {
                SCOPE.set(self.0);
            }
        }
        let _restore = Restore(SCOPE.replace(self));
        work()
    }
}
