//! The instructions that multiply pairs on this thread.

use std::cell::Cell;

use pulp::{Simd, WithSimd};

use super::super::amx::TileSession;
use super::super::simd::Isa;
use super::super::unit::with_unit;

/// Instructions that multiply pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bf16Unit {
    /// Tiles, within a [`TileSession`].
    Tiles,
    /// `vdpbf16ps`.
    Dot,
}

thread_local! {
    static UNIT: Cell<Option<Bf16Unit>> = const { Cell::new(None) };
}

/// Return the unit of this thread, inside [`run_as`].
#[inline(always)]
pub(super) fn unit() -> Option<Bf16Unit> {
    UNIT.get()
}

/// Run `part` with the unit of `isa`, compiled for 512-bit vectors.
///
/// # Panics
/// If the instruction set has no unit for pairs.
pub(super) fn run_as<W: WithSimd<Output = ()>>(isa: Isa, part: W) {
    let (simd, unit, _session) = match isa {
        Isa::Amx(simd, amx) => (simd, Bf16Unit::Tiles, Some(TileSession::new(amx.0))),
        Isa::Avx512Bf16(simd, _) => (simd, Bf16Unit::Dot, None),
        _ => panic!("invariant: pairs of bf16 need amx or avx512bf16, not {}", isa.name()),
    };
    with_unit(&UNIT, Some(unit), || Simd::vectorize(simd, part));
}
