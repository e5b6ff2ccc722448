//! The configuration of a thread's tiles.

use std::arch::asm;
use std::cell::Cell;

use super::permission::Amx;

/// The rows of the tiles of the upper and of the lower half of a product; zero without a configuration.
type Heights = [u8; 2];

thread_local! {
    static HEIGHTS: Cell<Heights> = const { Cell::new([0; 2]) };
}

/// A part of a thread's work in which [`configure`] may be called. Its end releases the tiles, also on unwinding: a
/// thread with tiles in use costs the system 8 KiB at every switch.
pub(crate) struct TileSession {
    /// Whether a session around this one has configured tiles.
    outer: bool,
}

impl TileSession {
    /// Begin a session. [`Amx`] is the proof that its instructions exist and are permitted.
    pub(crate) fn new(_amx: Amx) -> Self {
        Self { outer: HEIGHTS.replace([0; 2]) != [0; 2] }
    }
}

impl Drop for TileSession {
    fn drop(&mut self) {
        if HEIGHTS.replace([0; 2]) != [0; 2] || self.outer {
            // SAFETY: tiles were configured on this thread, so the instruction exists and is permitted. A session
            // around this one configures its tiles again at its next product.
            unsafe { asm!("tilerelease", options(nomem, nostack, preserves_flags)) };
        }
    }
}

/// The operand of `ldtilecfg`: the palette, then the bytes of a row and the rows of each of the tiles.
#[repr(C, align(64))]
struct TileConfiguration {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

/// Configure tiles of these heights, if they are not: 0 and 1 (sums) and 4 (left) of `upper` rows, 2 and 3 (sums) and 5
/// (left) of `lower` rows, 6 and 7 (right) of 16 pairs of rows; all of 64 bytes a row. The instruction is slow, so
/// products of one height should follow each other.
///
/// # Safety
/// A [`TileSession`] must be in progress on this thread, and both heights be in 1..=16.
pub(super) unsafe fn configure(upper: u8, lower: u8) {
    let heights = [upper, lower];
    if HEIGHTS.get() == heights {
        return;
    }
    let mut configuration =
        TileConfiguration { palette: 1, start_row: 0, reserved: [0; 14], row_bytes: [0; 16], rows: [0; 16] };
    configuration.row_bytes[..8].fill(64);
    configuration.rows[..8].copy_from_slice(&[upper, upper, lower, lower, upper, lower, 16, 16]);
    // SAFETY: the caller's promise; palette 1 has eight tiles of at most 16 rows of 64 bytes.
    unsafe {
        asm!(
            "ldtilecfg [{}]",
            in(reg) &raw const configuration,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack, readonly, preserves_flags),
        );
    }
    HEIGHTS.set(heights);
}

/// Read the configuration of this thread's tiles: 64 zeros without one.
#[cfg(test)]
pub(crate) fn stored_configuration(_amx: Amx) -> [u8; 64] {
    #[repr(align(64))]
    struct Stored([u8; 64]);
    let mut stored = Stored([0xff; 64]);
    // SAFETY: the instruction exists and writes 64 bytes.
    unsafe { asm!("sttilecfg [{}]", in(reg) &raw mut stored, options(nostack, preserves_flags)) };
    stored.0
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[test]
    fn tiles_are_released_when_a_session_returns_or_panics() {
        let Some(amx) = Amx::try_new() else { return };
        assert_eq!(stored_configuration(amx), [0; 64]);
        {
            let _session = TileSession::new(amx);
            // SAFETY: within a session.
            unsafe { configure(7, 3) };
            let stored = stored_configuration(amx);
            assert_eq!((stored[0], stored[48], stored[50], stored[54]), (1, 7, 3, 16));
        }
        assert_eq!(stored_configuration(amx), [0; 64]);
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let _session = TileSession::new(amx);
            // SAFETY: within a session.
            unsafe { configure(16, 16) };
            panic!("in a session");
        }));
        assert!(panicked.is_err());
        assert_eq!(stored_configuration(amx), [0; 64]);
    }

    #[test]
    fn a_session_within_another_releases_its_tiles_and_the_outer_one_configures_them_again() {
        let Some(amx) = Amx::try_new() else { return };
        let _outer = TileSession::new(amx);
        // SAFETY: within a session, as below.
        unsafe { configure(5, 5) };
        {
            let _inner = TileSession::new(amx);
            // SAFETY: as above.
            unsafe { configure(9, 2) };
        }
        assert_eq!(stored_configuration(amx), [0; 64]);
        // SAFETY: as above.
        unsafe { configure(5, 5) };
        assert_eq!(stored_configuration(amx)[48], 5);
    }

    #[test]
    fn threads_have_configurations_of_their_own() {
        let Some(amx) = Amx::try_new() else { return };
        let barrier = std::sync::Barrier::new(2);
        std::thread::scope(|scope| {
            for rows in [4u8, 11] {
                let barrier = &barrier;
                scope.spawn(move || {
                    for _ in 0..100 {
                        let _session = TileSession::new(amx);
                        // SAFETY: within a session.
                        unsafe { configure(rows, 16) };
                        barrier.wait();
                        let stored = stored_configuration(amx);
                        assert_eq!((stored[48], stored[50]), (rows, 16));
                        barrier.wait();
                    }
                });
            }
        });
    }
}
