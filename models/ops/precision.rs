//! The precision of products.

use std::cell::Cell;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::kernels::cpu::{bf16_isa, has_dot, has_pairs, int8_isa};

/// The precision of the operands of matrix products in f32.
///
/// A property of a run, not of a layer: the tensors stay in f32, and so do sums, pointwise functions, states, and
/// gradients. Layers use the precision of [`Precision::scope`]; the backward pass that of its forward pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// All digits of an f32.
    #[default]
    F32,
    /// Operands rounded to bf16, which has 8 binary digits: in recurrent layers, decoders with attention, streams and
    /// linear layers. Sums and everything else stay in f32, and so do the scores and weighted sums of attention. Fast
    /// on processors with instructions for it, the same elsewhere.
    Bf16,
    /// For inference alone. Operands of the products of recurrent layers, decoders with attention, streams and linear
    /// layers are integers of 8 bits. Each row of weights has one scale, and so has each row that it is multiplied by.
    /// Products are summed exactly; everything else is in f32. The same results on every
    /// processor, but for the last digits of the gates' functions and of the scores and weighted sums of attention.
    Int8,
}

thread_local! {
    static SCOPE: Cell<Precision> = const { Cell::new(Precision::F32) };
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
        })
    }
}

impl FromStr for Precision {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "f32" => Ok(Self::F32),
            "bf16" => Ok(Self::Bf16),
            "int8" => Ok(Self::Int8),
            _ => Err(format!("{name:?} is not a precision; expected f32, bf16 or int8")),
        }
    }
}

impl Precision {
    /// Return whether these are all digits of an f32.
    pub fn is_f32(&self) -> bool {
        *self == Self::F32
    }

    /// Return whether there are gradients in this precision.
    pub fn has_gradients(self) -> bool {
        self != Self::Int8
    }

    /// Return the precision of this thread: that of the innermost [`Precision::scope`], else [`Precision::F32`].
    pub fn current() -> Self {
        SCOPE.get()
    }

    /// Return whether the kernels multiply operands of this precision with instructions for it on this processor.
    pub fn is_fast(self) -> bool {
        match self {
            Self::F32 => true,
            Self::Bf16 => bf16_isa().is_ok_and(has_pairs),
            Self::Int8 => int8_isa().is_ok_and(has_dot),
        }
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
