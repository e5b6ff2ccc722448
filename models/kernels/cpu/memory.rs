//! Memory that the members of a team share: each writes its own part, and reads another's only behind a
//! barrier.

use std::alloc::{Layout, alloc, alloc_zeroed, dealloc, handle_alloc_error};
use std::ptr::NonNull;

use super::simd::Real;

/// Bytes of a cache line, at which every buffer begins.
const LINE: usize = 64;

/// Numbers at a fixed place, handed out as a pointer.
///
/// Rust's rules of borrowing end here: who reads or writes through the pointer says why nobody else writes
/// there at the same time.
pub(in crate::kernels) struct Buffer<E> {
    start: NonNull<E>,
    len: usize,
}

// SAFETY: a buffer is plain numbers; access through its pointer is unsafe and its safety the accessor's.
unsafe impl<E: Send> Send for Buffer<E> {}
// SAFETY: as above.
unsafe impl<E: Sync> Sync for Buffer<E> {}

impl<E: Real> Buffer<E> {
    /// `len` numbers that must be written before they are read.
    pub(super) fn new(len: usize) -> Self {
        Self::with(len, |layout| {
            // SAFETY: `with` asks for at least one byte.
            unsafe { alloc(layout) }
        })
    }

    /// `len` zeros.
    pub(super) fn zeros(len: usize) -> Self {
        Self::with(len, |layout| {
            // SAFETY: `with` asks for at least one byte; zero bits are the number zero.
            unsafe { alloc_zeroed(layout) }
        })
    }

    fn with(len: usize, allocate: impl FnOnce(Layout) -> *mut u8) -> Self {
        let layout = Self::layout(len);
        match NonNull::new(allocate(layout).cast()) {
            Some(start) => Self { start, len },
            None => handle_alloc_error(layout),
        }
    }

    /// Numbers in it.
    pub(in crate::kernels) fn len(&self) -> usize {
        self.len
    }

    /// Where number `at` lies; `at` may be the end.
    pub(super) fn at(&self, at: usize) -> *mut E {
        assert!(at <= self.len, "number {at} of a buffer of {}", self.len);
        // SAFETY: within the allocation or one past it, as just checked.
        unsafe { self.start.as_ptr().add(at) }
    }
}

impl<E> Buffer<E> {
    fn layout(len: usize) -> Layout {
        let layout = Layout::array::<E>(len.max(1)).and_then(|layout| layout.align_to(LINE));
        layout.expect("invariant: what is buffered is no larger than a few tensors that exist")
    }
}

impl<E> Drop for Buffer<E> {
    fn drop(&mut self) {
        // SAFETY: allocated in `with`, with the same layout.
        unsafe { dealloc(self.start.as_ptr().cast(), Self::layout(self.len)) }
    }
}

/// A pointer that the members of a team may share; see [`Buffer`].
#[derive(Clone, Copy)]
pub(super) struct Shared<E>(*mut E);

// SAFETY: as for `Buffer`.
unsafe impl<E: Send> Send for Shared<E> {}
// SAFETY: as for `Buffer`.
unsafe impl<E: Sync> Sync for Shared<E> {}

impl<E> Shared<E> {
    /// Of numbers that will be written.
    pub(super) fn new(numbers: &mut [E]) -> Self {
        Self(numbers.as_mut_ptr())
    }

    /// The number at `at`.
    ///
    /// # Safety
    /// It must lie within what the pointer was made of.
    pub(super) unsafe fn at(self, at: usize) -> *mut E {
        // SAFETY: the caller's promise.
        unsafe { self.0.add(at) }
    }
}

/// A vector of `len` numbers that `fill` writes, every one of them.
///
/// # Safety
/// `fill` must write all numbers that the pointer covers.
pub(super) unsafe fn filled<E: Real>(len: usize, fill: impl FnOnce(Shared<E>)) -> Vec<E> {
    let mut numbers: Vec<E> = Vec::with_capacity(len);
    fill(Shared(numbers.as_mut_ptr()));
    // SAFETY: the capacity is at least `len`, and by the caller's promise all are written.
    unsafe { numbers.set_len(len) };
    numbers
}
