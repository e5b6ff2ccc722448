//! The instruction set of the kernels: the best of this processor, or the one that `RNN_ZOO_SIMD` names.

use std::cell::Cell;
use std::sync::OnceLock;

use candle_core::{Error, Result};
use pulp::{Scalar128b, Simd, WithSimd};

/// An instruction set of this processor.
#[derive(Clone, Copy, Debug)]
pub enum Isa {
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
    /// Return all instruction sets of this processor, best first.
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
        static CHOSEN: OnceLock<std::result::Result<Isa, String>> = OnceLock::new();
        let choose = || Self::choose(std::env::var("RNN_ZOO_SIMD").ok().as_deref());
        match CHOSEN.get_or_init(choose) {
            Ok(isa) => Ok(*isa),
            Err(problem) => Err(Error::Msg(problem.clone())), // without a backtrace
        }
    }

    /// Return the instruction set called `name`, or the best.
    fn choose(name: Option<&str>) -> std::result::Result<Self, String> {
        let available = Self::available();
        let Some(name) = name.filter(|name| !name.is_empty()) else { return Ok(available[0]) };
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
            Self::Avx512(simd) => Simd::vectorize(simd, work),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(simd) => Simd::vectorize(simd, work),
            #[cfg(target_arch = "aarch64")]
            Self::Neon(simd) => Simd::vectorize(simd, work),
            Self::Portable(simd) => Simd::vectorize(simd, work),
        }
    }

    /// Return the number of elements of type `E` in a vector.
    pub(crate) fn lanes<E>(self) -> usize {
        let bytes = match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => 64,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => 32,
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
        for isa in Isa::available() {
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
