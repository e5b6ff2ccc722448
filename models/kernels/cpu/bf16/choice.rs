//! The instruction set that is fastest in bf16.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use candle_core::Result;
use pulp::{Simd, WithSimd};

use super::super::memory::Buffer;
use super::super::product::{GradientOperand, LeftRows, PanelShape, Panels, add_product};
use super::super::simd::Isa;
use super::super::workers::{Kernel, Worker, run_kernel};
#[cfg(target_arch = "x86_64")]
use super::pairs::Bf16;
use super::rounded::RoundedF32;

/// Return whether an instruction set multiplies pairs of bf16.
pub(crate) fn has_pairs(isa: Isa) -> bool {
    #[cfg(target_arch = "x86_64")]
    if matches!(isa, Isa::Amx(..) | Isa::Avx512Bf16(..)) {
        return true;
    }
    let _ = isa;
    false
}

/// Return the instruction set for products of bf16 that this thread calls: that of [`Isa::scope`], else that of
/// `RNN_ZOO_SIMD`, else the fastest, measured once per process.
///
/// The flags of a processor do not say which is fastest: some with AVX512-BF16 take longer for it than for f32.
///
/// # Errors
/// If `RNN_ZOO_SIMD` names no instruction set of this processor.
pub(crate) fn bf16_isa() -> Result<Isa> {
    static FASTEST: OnceLock<Isa> = OnceLock::new();
    match Isa::demanded()? {
        Some(isa) => Ok(isa),
        None => Ok(*FASTEST.get_or_init(fastest)),
    }
}

/// The least ratio of speeds at which an instruction set is preferred to another. Their results differ in the last
/// bits, so noise in the measurement must not decide.
const GAIN: f64 = 1.3;

/// Measure the instruction sets of this processor.
fn fastest() -> Isa {
    let plain = Isa::available()[0];
    // Tiles come first, so that noise does not choose between the two kinds of pairs either.
    let pairs = Isa::available_for_bf16().into_iter().filter(|&isa| has_pairs(isa));
    preferred((plain, time::<RoundedF32>(plain)), pairs.map(|isa| (isa, time_of_pairs(isa))))
}

/// Return `first`, or the last of `others` that is faster by [`GAIN`] than the one preferred before it.
fn preferred<T>(first: (T, Duration), others: impl Iterator<Item = (T, Duration)>) -> T {
    let faster = |best: (T, Duration), other: (T, Duration)| match other.1.mul_f64(GAIN) < best.1 {
        true => other,
        false => best,
    };
    others.fold(first, faster).0
}

#[cfg(target_arch = "x86_64")]
fn time_of_pairs(isa: Isa) -> Duration {
    time::<Bf16>(isa)
}

#[cfg(not(target_arch = "x86_64"))]
fn time_of_pairs(_isa: Isa) -> Duration {
    Duration::MAX
}

/// Rows, depth and vectors of the product that is measured: a tile of a recurrent product.
const ROWS: usize = 32;
const DEPTH: usize = 256;
const VECTORS: usize = 4;

/// Return the shortest time of some products.
fn time<O: GradientOperand<Sum = f32>>(isa: Isa) -> Duration {
    let lanes = isa.lanes::<f32>();
    let shape = PanelShape { depth: DEPTH, groups: VECTORS, group_vectors: 1, lanes };
    let left = vec![O::round(0.5); ROWS * DEPTH];
    let mut shortest = Duration::MAX;
    for _ in 0..5 {
        let panels = Panels::<O>::new(shape, 1);
        let sums = Buffer::zeros(ROWS * VECTORS * lanes);
        let elapsed = OnceLock::new();
        let probe = Probe { panels: &panels, left: &left, sums: &sums, elapsed: &elapsed };
        // SAFETY: all sizes are those of the product; a single worker uses them.
        unsafe { run_kernel(isa, 1, &probe) };
        shortest = shortest.min(elapsed.get().copied().unwrap_or(Duration::MAX));
    }
    // Wider vectors compute more columns in that time.
    shortest / lanes as u32
}

/// Packs a panel and multiplies it several times.
struct Probe<'a, O: GradientOperand> {
    panels: &'a Panels<O>,
    left: &'a [O],
    sums: &'a Buffer<O::Sum>,
    elapsed: &'a OnceLock<Duration>,
}

impl<O: GradientOperand> Kernel for Probe<'_, O> {
    fn run_as<W: WithSimd<Output = ()>>(isa: Isa, part: W) {
        O::run_as(isa, part);
    }

    /// # Safety
    /// All sizes must be those of the product.
    #[inline(always)]
    unsafe fn run<S: Simd>(&self, simd: S, worker: Worker<'_>) {
        // SAFETY: the caller's promise.
        unsafe {
            for panel in self.panels.share(worker) {
                self.panels.pack_rows(simd, panel, (DEPTH, 0), |_| None);
                let start = Instant::now();
                for _ in 0..20 {
                    let left = LeftRows::new(self.left.as_ptr(), DEPTH);
                    add_product(simd, ROWS, left, (self.panels, panel), self.sums.at(0));
                }
                let _ = self.elapsed.set(start.elapsed());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_decide_before_measurements() {
        for isa in Isa::available_for_bf16() {
            assert_eq!(isa.scope(|| bf16_isa().expect("a scope").name()), isa.name());
        }
    }

    #[test]
    fn noise_changes_no_choice() {
        let chosen = |times: &[u64]| {
            let timed = |(index, &time): (usize, &u64)| (index, Duration::from_millis(time));
            let mut times = times.iter().enumerate().map(timed);
            preferred(times.next().unwrap(), times)
        };
        assert_eq!(chosen(&[130, 101]), 0, "less than GAIN");
        assert_eq!(chosen(&[130, 99]), 1);
        assert_eq!(chosen(&[130, 99, 80]), 1, "less than GAIN over the second");
        assert_eq!(chosen(&[130, 99, 70]), 2);
        assert_eq!(chosen(&[130, 120, 99]), 2);
    }
}
