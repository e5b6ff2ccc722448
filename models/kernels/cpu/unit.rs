//! The instructions that a thread multiplies a type of operands with.
//!
//! A micro-kernel gets no instruction set beyond its vectors, so that of its operands is in a variable of the thread.

use std::cell::Cell;
use std::thread::LocalKey;

/// Run `work` while `unit` is the unit of this thread.
pub(super) fn with_unit<U: Copy, T>(
    variable: &'static LocalKey<Cell<U>>,
    unit: U,
    work: impl FnOnce() -> T,
) -> T {
    /// Restores the previous unit, also on unwinding.
    struct Restore<U: Copy + 'static>(&'static LocalKey<Cell<U>>, U);
    impl<U: Copy> Drop for Restore<U> {
        fn drop(&mut self) {
            self.0.set(self.1);
        }
    }
    let _restore = Restore(variable, variable.replace(unit));
    work()
}
