//! The instruction set of the kernels: the best of this processor, or the one that `RNN_ZOO_SIMD` names.

use std::cell::Cell;
use std::sync::OnceLock;

use candle_core::{Error, Result};
use pulp::{Scalar128b, Simd, WithSimd};

#[cfg(target_arch = "x86_64")]
use super::super::amx::Amx;

/// Proof that this process may use tiles.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy, Debug)]
pub struct AmxToken(pub(in super::super) Amx);

/// Proof that the processor has AVX512-BF16.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy, Debug)]
pub struct Avx512Bf16Token(());

/// Proof that the processor has AVX512-VNNI.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy, Debug)]
pub struct Avx512VnniToken(());

/// Proof that the processor has AVX-VNNI.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy, Debug)]
pub struct AvxVnniToken(());

/// An instruction set of this processor. Only the functions of this type make one, after they have found it.
///
/// Some differ from AVX-512 or AVX2 only in products of bf16 or int8.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Isa {
    /// AVX-512, and products of bf16 with tiles.
    #[cfg(target_arch = "x86_64")]
    #[doc(hidden)]
    Amx(pulp::x86::V4, AmxToken),
    /// AVX-512, and products of bf16 with `vdpbf16ps`.
    #[cfg(target_arch = "x86_64")]
    #[doc(hidden)]
    Avx512Bf16(pulp::x86::V4, Avx512Bf16Token),
    /// AVX-512, and products of int8 with `vpdpbusd`.
    #[cfg(target_arch = "x86_64")]
    #[doc(hidden)]
    Avx512Vnni(pulp::x86::V4, Avx512VnniToken),
    /// AVX2, and products of int8 with `vpdpbusd`.
    #[cfg(target_arch = "x86_64")]
    #[doc(hidden)]
    AvxVnni(pulp::x86::V3, AvxVnniToken),
    /// 512-bit vectors (x86-64-v4).
    #[cfg(target_arch = "x86_64")]
    Avx512(pulp::x86::V4),
    /// 256-bit vectors with fused multiply-add (x86-64-v3).
    #[cfg(target_arch = "x86_64")]
    Avx2(pulp::x86::V3),
    /// 128-bit vectors of ARM.
    #[cfg(target_arch = "aarch64")]
    Neon(pulp::aarch64::Neon),
    /// Portable Rust on arrays of 128 bits, which compilers vectorize.
    Portable(Scalar128b),
}

impl Isa {
    /// Return the instruction sets of this processor that have products of bf16, in the order of the tests.
    #[cfg(target_arch = "x86_64")]
    fn with_bf16() -> Vec<Self> {
        let Some(simd) = pulp::x86::V4::try_new() else { return vec![] };
        if !std::is_x86_feature_detected!("avx512bf16") {
            return vec![]; // AMX rounds with these instructions
        }
        let amx = Amx::try_new().map(|amx| Self::Amx(simd, AmxToken(amx)));
        amx.into_iter().chain([Self::Avx512Bf16(simd, Avx512Bf16Token(()))]).collect()
    }

    /// Other processors have none that the kernels use.
    #[cfg(not(target_arch = "x86_64"))]
    fn with_bf16() -> Vec<Self> {
        vec![]
    }

    /// Return all instruction sets for products of bf16: those that have such products, then those of
    /// [`Isa::available`].
    pub fn available_for_bf16() -> Vec<Self> {
        Self::with_bf16().into_iter().chain(Self::available()).collect()
    }

    /// Return the instruction sets of this processor that have products of int8, best first.
    #[cfg(target_arch = "x86_64")]
    fn with_int8() -> Vec<Self> {
        let has_avx512 = std::is_x86_feature_detected!("avx512vnni");
        let avx512 = pulp::x86::V4::try_new().filter(|_| has_avx512);
        // `Isa::Amx` stands for products of bf16 too, which round with AVX512-BF16.
        let rounds_bf16 = std::is_x86_feature_detected!("avx512bf16");
        let amx = avx512.zip(Amx::try_new().filter(|amx| amx.has_int8() && rounds_bf16));
        let avx = pulp::x86::V3::try_new().filter(|_| std::is_x86_feature_detected!("avxvnni"));
        let amx = amx.map(|(simd, amx)| Self::Amx(simd, AmxToken(amx)));
        let avx512 = avx512.map(|simd| Self::Avx512Vnni(simd, Avx512VnniToken(())));
        let avx = avx.map(|simd| Self::AvxVnni(simd, AvxVnniToken(())));
        let sets = [amx, avx512, avx];
        sets.into_iter().flatten().collect()
    }

    /// Other processors have none that the kernels use.
    #[cfg(not(target_arch = "x86_64"))]
    fn with_int8() -> Vec<Self> {
        vec![]
    }

    /// Return all instruction sets for products of int8: those that have such products, then those of
    /// [`Isa::available`].
    pub fn available_for_int8() -> Vec<Self> {
        Self::with_int8().into_iter().chain(Self::available()).collect()
    }

    /// Return all instruction sets that `RNN_ZOO_SIMD` can name.
    fn named() -> Vec<Self> {
        let mut sets = Self::with_bf16();
        for isa in Self::available_for_int8() {
            if sets.iter().all(|set| set.name() != isa.name()) {
                sets.push(isa);
            }
        }
        sets
    }

    /// Return all instruction sets of this processor for f32, best first.
    pub fn available() -> Vec<Self> {
        let mut available = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            available.extend(pulp::x86::V4::try_new().map(Self::Avx512));
            available.extend(pulp::x86::V3::try_new().map(Self::Avx2));
        }
        #[cfg(target_arch = "aarch64")]
        available.extend(pulp::aarch64::Neon::try_new().map(Self::Neon));
        available.push(Self::Portable(Scalar128b));
        available
    }

    /// Return the name in `RNN_ZOO_SIMD`.
    pub fn name(self) -> &'static str {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Amx(..) => "amx",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Bf16(..) => "avx512bf16",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni(..) => "avx512vnni",
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni(..) => "avxvnni",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => "avx512",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => "avx2",
            #[cfg(target_arch = "aarch64")]
            Self::Neon(_) => "neon",
            Self::Portable(_) => "portable",
        }
    }

    /// Return the instruction set for kernels that this thread calls: that of [`Isa::scope`], else that of
    /// `RNN_ZOO_SIMD`, else the best.
    ///
    /// # Errors
    /// If `RNN_ZOO_SIMD` names no instruction set of this processor.
    pub fn current() -> Result<Self> {
        if let Some(isa) = SCOPE.get() {
            return Ok(isa);
        }
        Self::of_process()
    }

    /// Return the instruction set that [`Isa::scope`] or `RNN_ZOO_SIMD` demand, if one of them does.
    ///
    /// # Errors
    /// As [`Isa::current`].
    pub(crate) fn demanded() -> Result<Option<Self>> {
        let is_named = || std::env::var_os("RNN_ZOO_SIMD").is_some_and(|name| !name.is_empty());
        match SCOPE.get() {
            Some(isa) => Ok(Some(isa)),
            None if is_named() => Self::of_process().map(Some),
            None => Ok(None),
        }
    }

    /// Return the instruction set of `RNN_ZOO_SIMD`, else the best.
    fn of_process() -> Result<Self> {
        static CHOSEN: OnceLock<std::result::Result<Isa, String>> = OnceLock::new();
        let choose = || Self::choose(std::env::var("RNN_ZOO_SIMD").ok().as_deref());
        match CHOSEN.get_or_init(choose) {
            Ok(isa) => Ok(*isa),
            Err(problem) => Err(Error::Msg(problem.clone())), // without a backtrace
        }
    }

    /// Return the instruction set called `name`, or the best.
    fn choose(name: Option<&str>) -> std::result::Result<Self, String> {
        let Some(name) = name.filter(|name| !name.is_empty()) else { return Ok(Self::available()[0]) };
        let available = Self::named();
        available.iter().copied().find(|isa| isa.name() == name).ok_or_else(|| {
            let names: Vec<_> = available.iter().map(|isa| isa.name()).collect();
            format!("RNN_ZOO_SIMD is {name:?}; this processor has {}", names.join(", "))
        })
    }

    /// Run `work`, in which this thread's kernels use this instruction set.
    pub fn scope<T>(self, work: impl FnOnce() -> T) -> T {
        /// Restores the previous scope, also on unwinding.
        struct Restore(Option<Isa>);
        impl Drop for Restore {
            fn drop(&mut self) {
                SCOPE.set(self.0);
            }
        }
        let _restore = Restore(SCOPE.replace(Some(self)));
        work()
    }

    /// Run `work` as compiled for this instruction set.
    pub(crate) fn run<W: WithSimd>(self, work: W) -> W::Output {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Amx(simd, _)
            | Self::Avx512Bf16(simd, _)
            | Self::Avx512Vnni(simd, _)
            | Self::Avx512(simd) => Simd::vectorize(simd, work),
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni(simd, _) | Self::Avx2(simd) => Simd::vectorize(simd, work),
            #[cfg(target_arch = "aarch64")]
            Self::Neon(simd) => Simd::vectorize(simd, work),
            Self::Portable(simd) => Simd::vectorize(simd, work),
        }
    }

    /// Return the number of elements of type `E` in a vector.
    pub(crate) fn lanes<E>(self) -> usize {
        let bytes = match self {
            #[cfg(target_arch = "x86_64")]
            Self::Amx(..) | Self::Avx512Bf16(..) | Self::Avx512Vnni(..) | Self::Avx512(_) => 64,
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni(..) | Self::Avx2(_) => 32,
            #[cfg(target_arch = "aarch64")]
            Self::Neon(_) => 16,
            Self::Portable(_) => 16,
        };
        bytes / size_of::<E>()
    }
}

thread_local! {
    static SCOPE: Cell<Option<Isa>> = const { Cell::new(None) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_select_and_unknown_names_are_refused() {
        for isa in Isa::named() {
            assert_eq!(Isa::choose(Some(isa.name())).unwrap().name(), isa.name());
        }
        let problem = Isa::choose(Some("mmx")).unwrap_err();
        assert!(problem.starts_with("RNN_ZOO_SIMD is \"mmx\"; this processor has "), "{problem}");
        assert!(problem.ends_with("portable"), "{problem}");
        assert_eq!(Isa::choose(Some("")).unwrap().name(), Isa::available()[0].name());
    }

    #[test]
    fn scope_ends_with_its_work() {
        let outside = Isa::current().unwrap().name();
        let portable = Isa::Portable(Scalar128b);
        assert_eq!(portable.scope(|| Isa::current().unwrap().name()), "portable");
        assert_eq!(Isa::current().unwrap().name(), outside);
    }
}
