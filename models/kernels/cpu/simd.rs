//! Vectors of `f32` and `f64` that read like numbers, whatever the processor.
//!
//! [`pulp`] finds out at run time what the processor can do, and its token `S` proves it. A [`Vector`]
//! carries the token, which has no size, so that `a * b + c` needs none beside it.

use std::ops::{Add, Div, Mul, Neg, Sub};

use candle_core::WithDType;
use pulp::Simd;

use super::math;

/// A number type that the kernels are written for: `f32` or `f64`.
///
/// The functions are those of [`Vector`], lane by lane.
pub trait Real: WithDType + Neg<Output = Self> {
    /// A register full of numbers.
    type Lanes<S: Simd>: Copy;

    /// Numbers in a register.
    fn lanes<S: Simd>() -> usize {
        size_of::<Self::Lanes<S>>() / size_of::<Self>()
    }

    /// See [`Vector::splat`].
    fn splat<S: Simd>(simd: S, x: Self) -> Self::Lanes<S>;
    /// `a + b`.
    fn lanes_add<S: Simd>(simd: S, a: Self::Lanes<S>, b: Self::Lanes<S>) -> Self::Lanes<S>;
    /// `a - b`.
    fn lanes_sub<S: Simd>(simd: S, a: Self::Lanes<S>, b: Self::Lanes<S>) -> Self::Lanes<S>;
    /// `a * b`.
    fn lanes_mul<S: Simd>(simd: S, a: Self::Lanes<S>, b: Self::Lanes<S>) -> Self::Lanes<S>;
    /// `a / b`.
    fn lanes_div<S: Simd>(simd: S, a: Self::Lanes<S>, b: Self::Lanes<S>) -> Self::Lanes<S>;
    /// See [`Vector::mul_add`].
    fn mul_add<S: Simd>(simd: S, a: Self::Lanes<S>, b: Self::Lanes<S>, c: Self::Lanes<S>) -> Self::Lanes<S>;
    /// `yes` where `a > b`, else `no`; `no` where either is no number.
    fn if_greater<S: Simd>(
        simd: S,
        a_b: [Self::Lanes<S>; 2],
        yes: Self::Lanes<S>,
        no: Self::Lanes<S>,
    ) -> Self::Lanes<S>;
    /// See [`Vector::exp`].
    fn exp<S: Simd>(simd: S, a: Self::Lanes<S>) -> Self::Lanes<S>;
    /// See [`Vector::tanh`].
    fn tanh<S: Simd>(simd: S, a: Self::Lanes<S>) -> Self::Lanes<S>;
    /// See [`Vector::sigmoid`].
    fn sigmoid<S: Simd>(simd: S, a: Self::Lanes<S>) -> Self::Lanes<S>;
}

macro_rules! real {
    ($real:ty, $lanes:ident, $splat:ident, $add:ident, $sub:ident, $mul:ident, $div:ident, $mul_add:ident,
     $greater:ident, $select:ident, $exp:path, $tanh:path, $sigmoid:path) => {
        impl Real for $real {
            type Lanes<S: Simd> = S::$lanes;

            #[inline(always)]
            fn splat<S: Simd>(simd: S, x: Self) -> S::$lanes {
                simd.$splat(x)
            }
            #[inline(always)]
            fn lanes_add<S: Simd>(simd: S, a: S::$lanes, b: S::$lanes) -> S::$lanes {
                simd.$add(a, b)
            }
            #[inline(always)]
            fn lanes_sub<S: Simd>(simd: S, a: S::$lanes, b: S::$lanes) -> S::$lanes {
                simd.$sub(a, b)
            }
            #[inline(always)]
            fn lanes_mul<S: Simd>(simd: S, a: S::$lanes, b: S::$lanes) -> S::$lanes {
                simd.$mul(a, b)
            }
            #[inline(always)]
            fn lanes_div<S: Simd>(simd: S, a: S::$lanes, b: S::$lanes) -> S::$lanes {
                simd.$div(a, b)
            }
            #[inline(always)]
            fn mul_add<S: Simd>(simd: S, a: S::$lanes, b: S::$lanes, c: S::$lanes) -> S::$lanes {
                if const { fuses::<S>() } { simd.$mul_add(a, b, c) } else { simd.$add(simd.$mul(a, b), c) }
            }
            #[inline(always)]
            fn if_greater<S: Simd>(
                simd: S,
                [a, b]: [S::$lanes; 2],
                yes: S::$lanes,
                no: S::$lanes,
            ) -> S::$lanes {
                simd.$select(simd.$greater(a, b), yes, no)
            }
            #[inline(always)]
            fn exp<S: Simd>(simd: S, a: S::$lanes) -> S::$lanes {
                $exp(simd, a)
            }
            #[inline(always)]
            fn tanh<S: Simd>(simd: S, a: S::$lanes) -> S::$lanes {
                $tanh(simd, a)
            }
            #[inline(always)]
            fn sigmoid<S: Simd>(simd: S, a: S::$lanes) -> S::$lanes {
                $sigmoid(simd, a)
            }
        }
    };
}

/// Whether a product and a sum are one instruction. Elsewhere they are two: one rounding would take a call of
/// the library's for every lane.
pub(super) const fn fuses<S: Simd>() -> bool {
    cfg!(target_arch = "aarch64") || size_of::<S::f32s>() > 16
}

real!(
    f32,
    f32s,
    splat_f32s,
    add_f32s,
    sub_f32s,
    mul_f32s,
    div_f32s,
    mul_add_e_f32s,
    greater_than_f32s,
    select_f32s,
    math::exp_f32,
    math::tanh_f32,
    math::sigmoid_f32
);
real!(
    f64,
    f64s,
    splat_f64s,
    add_f64s,
    sub_f64s,
    mul_f64s,
    div_f64s,
    mul_add_e_f64s,
    greater_than_f64s,
    select_f64s,
    math::exp_f64,
    math::tanh_f64,
    math::sigmoid_f64
);

/// A register full of numbers, with the proof that the processor has such registers.
#[derive(Clone, Copy)]
pub struct Vector<S: Simd, E: Real> {
    lanes: E::Lanes<S>,
    simd: S,
}

impl<S: Simd, E: Real> Vector<S, E> {
    /// Numbers in it.
    #[inline(always)]
    pub fn len() -> usize {
        E::lanes::<S>()
    }

    /// `x` in every lane.
    #[inline(always)]
    pub fn splat(simd: S, x: E) -> Self {
        Self { lanes: E::splat(simd, x), simd }
    }

    /// Zero in every lane.
    #[inline(always)]
    pub fn zero(simd: S) -> Self {
        Self::splat(simd, E::zero())
    }

    /// The numbers from `from` on.
    ///
    /// # Safety
    /// [`Vector::len`] numbers must be readable there.
    #[inline(always)]
    pub unsafe fn load(simd: S, from: *const E) -> Self {
        // SAFETY: the caller's promise; lanes are plain numbers side by side, and need no alignment here.
        Self { lanes: unsafe { from.cast::<E::Lanes<S>>().read_unaligned() }, simd }
    }

    /// As many vectors side by side from `from` on.
    ///
    /// # Safety
    /// As [`Vector::load`], for all of them.
    #[inline(always)]
    pub unsafe fn load_all<const N: usize>(simd: S, from: *const E) -> [Self; N] {
        // SAFETY: the caller's promise.
        std::array::from_fn(|at| unsafe { Self::load(simd, from.add(at * Self::len())) })
    }

    /// Writes the numbers from `to` on.
    ///
    /// # Safety
    /// [`Vector::len`] numbers must be writable there.
    #[inline(always)]
    pub unsafe fn store(self, to: *mut E) {
        // SAFETY: the caller's promise; as in `load`.
        unsafe { to.cast::<E::Lanes<S>>().write_unaligned(self.lanes) }
    }

    /// Writes the first `count` numbers, or all where there are fewer.
    ///
    /// # Safety
    /// So many numbers must be writable there.
    #[inline(always)]
    pub unsafe fn store_first(self, to: *mut E, count: usize) {
        // SAFETY: the caller's promise; what is copied from is a local of as many numbers.
        unsafe {
            if count >= Self::len() {
                self.store(to);
            } else {
                std::ptr::copy_nonoverlapping((&raw const self.lanes).cast::<E>(), to, count);
            }
        }
    }

    /// Writes zero to the first `count` numbers from `to` on, whole vectors of them.
    ///
    /// # Safety
    /// So many, rounded up to whole vectors, must be writable there.
    #[inline(always)]
    pub unsafe fn clear(simd: S, to: *mut E, count: usize) {
        for at in (0..count).step_by(Self::len()) {
            // SAFETY: the caller's promise.
            unsafe { Self::zero(simd).store(to.add(at)) };
        }
    }

    /// Copies `count` numbers; a call of the library's would cost more than most of them are.
    ///
    /// # Safety
    /// So many numbers must be readable and writable, and the two may not overlap.
    #[inline(always)]
    pub unsafe fn copy(simd: S, from: *const E, to: *mut E, count: usize) {
        let whole = count - count % Self::len();
        // SAFETY: the caller's promise.
        unsafe {
            for at in (0..whole).step_by(Self::len()) {
                Self::load(simd, from.add(at)).store(to.add(at));
            }
            if whole < count {
                to.add(whole).copy_from_nonoverlapping(from.add(whole), count - whole);
            }
        }
    }

    /// `self * by + plus`, rounded once where the processor can.
    #[inline(always)]
    pub fn mul_add(self, by: Self, plus: Self) -> Self {
        Self { lanes: E::mul_add(self.simd, self.lanes, by.lanes, plus.lanes), simd: self.simd }
    }

    /// Zeros, on the same processor.
    #[inline(always)]
    pub fn zeroed(self) -> Self {
        Self::zero(self.simd)
    }

    /// The first `count` numbers from `from` on, or all where there are fewer in a vector; zeros after them.
    ///
    /// # Safety
    /// So many numbers must be readable there.
    #[inline(always)]
    pub unsafe fn load_first(simd: S, from: *const E, count: usize) -> Self {
        // SAFETY: the caller's promise; what is copied to is a local of more numbers.
        unsafe {
            if count >= Self::len() {
                return Self::load(simd, from);
            }
            let mut vector = Self::zero(simd);
            std::ptr::copy_nonoverlapping(from, (&raw mut vector.lanes).cast::<E>(), count);
            vector
        }
    }

    /// `1 - self`.
    #[inline(always)]
    pub fn complement(self) -> Self {
        Self::splat(self.simd, E::one()) - self
    }

    /// `1 - self^2`: what tanh' is of tanh.
    #[inline(always)]
    pub fn one_minus_square(self) -> Self {
        (-self).mul_add(self, Self::splat(self.simd, E::one()))
    }

    /// `yes` where `self > than`, else `no`; `no` where either is no number.
    #[inline(always)]
    pub fn if_greater(self, than: Self, yes: Self, no: Self) -> Self {
        Self {
            lanes: E::if_greater(self.simd, [self.lanes, than.lanes], yes.lanes, no.lanes),
            simd: self.simd,
        }
    }

    /// The exponential; see [`math`] for its error.
    #[inline(always)]
    pub fn exp(self) -> Self {
        Self { lanes: E::exp(self.simd, self.lanes), simd: self.simd }
    }

    /// The hyperbolic tangent; see [`math`] for its error.
    #[inline(always)]
    pub fn tanh(self) -> Self {
        Self { lanes: E::tanh(self.simd, self.lanes), simd: self.simd }
    }

    /// `1 / (1 + exp(-self))`; see [`math`] for its error.
    #[inline(always)]
    pub fn sigmoid(self) -> Self {
        Self { lanes: E::sigmoid(self.simd, self.lanes), simd: self.simd }
    }
}

impl<S: Simd, E: Real> Add for Vector<S, E> {
    type Output = Self;
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self { lanes: E::lanes_add(self.simd, self.lanes, other.lanes), simd: self.simd }
    }
}

impl<S: Simd, E: Real> Sub for Vector<S, E> {
    type Output = Self;
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self { lanes: E::lanes_sub(self.simd, self.lanes, other.lanes), simd: self.simd }
    }
}

impl<S: Simd, E: Real> Mul for Vector<S, E> {
    type Output = Self;
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Self { lanes: E::lanes_mul(self.simd, self.lanes, other.lanes), simd: self.simd }
    }
}

impl<S: Simd, E: Real> Div for Vector<S, E> {
    type Output = Self;
    #[inline(always)]
    fn div(self, other: Self) -> Self {
        Self { lanes: E::lanes_div(self.simd, self.lanes, other.lanes), simd: self.simd }
    }
}

impl<S: Simd, E: Real> Neg for Vector<S, E> {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        Self::zero(self.simd) - self
    }
}
