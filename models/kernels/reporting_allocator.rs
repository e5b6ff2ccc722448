//! An allocator that reports a failed allocation instead of aborting the process.

use std::alloc::{GlobalAlloc, Layout, System};

/// The system's allocator, except that a failed allocation calls a function that ends the program. Without it, Rust
/// aborts the process, and the exit code does not show the reason.
///
/// This is for programs, not for libraries: code that handles a failed allocation is never called.
#[derive(Debug)]
pub struct ReportingAllocator {
    end: fn(usize) -> !,
}

impl ReportingAllocator {
    /// An allocator that calls `end` with the size, in bytes, of the first allocation that fails. `end` must not
    /// allocate. The process aborts if it panics.
    pub const fn new(end: fn(usize) -> !) -> Self {
        Self { end }
    }

    fn checked(&self, memory: *mut u8, bytes: usize) -> *mut u8 {
        /// Aborts the process on unwinding: a panic must not leave an allocator.
        struct Abort;
        impl Drop for Abort {
            fn drop(&mut self) {
                std::process::abort();
            }
        }
        if memory.is_null() {
            let _abort = Abort;
            (self.end)(bytes)
        }
        memory
    }
}

// SAFETY: every call goes to `System`, which keeps the promises of the trait, with the same arguments.
unsafe impl GlobalAlloc for ReportingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the promises of the trait.
        self.checked(unsafe { System.alloc(layout) }, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        self.checked(unsafe { System.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above; `memory` came from `System` too.
        self.checked(unsafe { System.realloc(memory, layout, size) }, size)
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }
}
