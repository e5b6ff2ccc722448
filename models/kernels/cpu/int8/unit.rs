//! The instructions that multiply int8 on this thread.

use std::cell::Cell;

use candle_core::Result;
use pulp::WithSimd;

#[cfg(target_arch = "x86_64")]
use super::super::amx::TileSession;
use super::super::simd::Isa;
use super::super::unit::with_unit;

/// Instructions that multiply int8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Int8Unit {
    /// Tiles, within a [`TileSession`], and `vpdpbusd` of 512 bits.
    #[cfg(target_arch = "x86_64")]
    Tiles,
    /// `vpdpbusd` of 512 bits.
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni,
    /// `vpdpbusd` of 256 bits.
    #[cfg(target_arch = "x86_64")]
    AvxVnni,
    /// `vpmaddubsw` of 256 bits, for panels of 16 columns.
    #[cfg(target_arch = "x86_64")]
    Avx2Twice,
    /// The same for panels of 8 columns.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// Plain Rust.
    Portable,
}

impl Int8Unit {
    /// Return the unit of an instruction set.
    fn of(isa: Isa) -> Self {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Amx(_, amx) if amx.0.has_int8() && std::is_x86_feature_detected!("avx512vnni") => {
                Self::Tiles
            }
            #[cfg(target_arch = "x86_64")]
            Isa::Amx(..) | Isa::Avx512Bf16(..) if std::is_x86_feature_detected!("avx512vnni") => {
                Self::Avx512Vnni
            }
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Vnni(..) => Self::Avx512Vnni,
            #[cfg(target_arch = "x86_64")]
            Isa::Amx(..) | Isa::Avx512Bf16(..) | Isa::Avx512(_) => Self::Avx2Twice,
            #[cfg(target_arch = "x86_64")]
            Isa::AvxVnni(..) => Self::AvxVnni,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2(_) => Self::Avx2,
            _ => Self::Portable,
        }
    }
}

thread_local! {
    static UNIT: Cell<Int8Unit> = const { Cell::new(Int8Unit::Portable) };
}

/// Return the unit of this thread, inside [`run_as`].
#[inline(always)]
pub(super) fn unit() -> Int8Unit {
    UNIT.get()
}

/// Return whether an instruction set has instructions of its own for sums of products of int8.
pub(crate) fn has_dot(isa: Isa) -> bool {
    Int8Unit::of(isa) != Int8Unit::Portable
}

/// Return the instruction set for products of int8 that this thread calls: that of [`Isa::scope`], else that of
/// `RNN_ZOO_SIMD`, else the first of [`Isa::available_for_int8`]. The choice changes no bit of a product.
///
/// # Errors
/// If `RNN_ZOO_SIMD` names no instruction set of this processor.
pub(crate) fn int8_isa() -> Result<Isa> {
    Ok(match Isa::demanded()? {
        Some(isa) => isa,
        None => Isa::available_for_int8()[0],
    })
}

/// Run `part` with the unit of `isa`, as compiled for its vectors.
pub(super) fn run_as<W: WithSimd<Output = ()>>(isa: Isa, part: W) {
    let unit = Int8Unit::of(isa);
    #[cfg(target_arch = "x86_64")]
    let _session = match isa {
        Isa::Amx(_, amx) if unit == Int8Unit::Tiles => Some(TileSession::new(amx.0)),
        _ => None,
    };
    with_unit(&UNIT, unit, || isa.run(part));
}
