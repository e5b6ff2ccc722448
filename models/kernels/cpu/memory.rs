//! Memory that the workers of a team share: each writes its own part, and reads another's only behind a
//! barrier.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::simd::Real;

/// Bytes of a cache line, at which every buffer begins.
pub(super) const LINE: usize = 64;

/// Numbers at a fixed place, handed out as a pointer.
///
/// Rust's rules of borrowing end here: who reads or writes through the pointer says why nobody else writes
/// there at the same time.
pub(crate) struct Buffer<E> {
    memory: Memory,
    len: usize,
    numbers: PhantomData<E>,
}

impl<E: Real> Buffer<E> {
    /// `len` numbers that must be written before they are read. With debug assertions they are no numbers until
    /// then: a kernel that reads what nobody wrote has a result that no test accepts.
    pub(super) fn new(len: usize) -> Self {
        let buffer = Self { memory: Memory::of(len * size_of::<E>()), len, numbers: PhantomData };
        if cfg!(debug_assertions) {
            // SAFETY: so many numbers were just asked for; all bits set are NaN.
            unsafe { buffer.at(0).write_bytes(0xff, len) };
        }
        buffer
    }

    /// `len` zeros.
    pub(super) fn zeros(len: usize) -> Self {
        let buffer = Self::new(len);
        // SAFETY: so many numbers were just asked for; zero bits are the number zero.
        unsafe { buffer.at(0).write_bytes(0, len) };
        buffer
    }

    /// Numbers in it.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Where number `at` lies; `at` may be the end.
    pub(super) fn at(&self, at: usize) -> *mut E {
        assert!(at <= self.len, "number {at} of a buffer of {}", self.len);
        // SAFETY: within the memory or one past it, as just checked.
        unsafe { self.memory.start.as_ptr().cast::<E>().add(at) }
    }
}

/// Memory that goes back to [`SPARE`] when it is dropped.
struct Memory {
    start: NonNull<u8>,
    bytes: usize,
}

// SAFETY: memory is plain bytes; access through its pointer is unsafe and its safety the accessor's.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

/// Memory that was let go, oldest first. Training asks for the same sizes at every step, and new memory of
/// the system's costs more than the kernels that fill it: every page of it is a fault.
static SPARE: Mutex<Vec<Memory>> = Mutex::new(Vec::new());

/// Bytes that may lie spare.
const MOST_SPARE: usize = 1 << 28;

/// Bytes below which the allocator is fast enough.
const LEAST_SPARE: usize = 1 << 16;

impl Memory {
    fn of(bytes: usize) -> Self {
        let bytes = bytes.max(1).next_multiple_of(LINE);
        if bytes >= LEAST_SPARE {
            let mut spare = Self::spare();
            if let Some(at) = spare.iter().rposition(|memory| memory.bytes == bytes) {
                return spare.remove(at);
            }
        }
        let layout = Self::layout(bytes);
        // SAFETY: at least a line is asked for.
        match NonNull::new(unsafe { alloc(layout) }) {
            Some(start) => Self { start, bytes },
            None => handle_alloc_error(layout),
        }
    }

    fn spare() -> MutexGuard<'static, Vec<Self>> {
        SPARE.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn layout(bytes: usize) -> Layout {
        let layout = Layout::from_size_align(bytes, LINE);
        layout.expect("invariant: what is buffered is no larger than a few tensors that exist")
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let mut least = vec![];
        if (LEAST_SPARE..=MOST_SPARE).contains(&self.bytes) {
            let mut spare = Self::spare();
            spare.push(Self { start: self.start, bytes: self.bytes });
            let mut total: usize = spare.iter().map(|memory| memory.bytes).sum();
            while total > MOST_SPARE {
                let oldest = spare.remove(0);
                total -= oldest.bytes;
                least.push((oldest.start, oldest.bytes));
                std::mem::forget(oldest);
            }
        } else {
            least.push((self.start, self.bytes));
        }
        for (start, bytes) in least {
            // SAFETY: allocated in `of` with the same layout, and nobody has it any more.
            unsafe { dealloc(start.as_ptr(), Self::layout(bytes)) };
        }
    }
}

/// A pointer that the workers of a team may share; see [`Buffer`].
#[derive(Clone, Copy)]
pub(super) struct Shared<E>(*mut E);

// SAFETY: as for `Buffer`.
unsafe impl<E: Send> Send for Shared<E> {}
// SAFETY: as for `Buffer`.
unsafe impl<E: Sync> Sync for Shared<E> {}

impl<E> From<*mut E> for Shared<E> {
    fn from(numbers: *mut E) -> Self {
        Self(numbers)
    }
}

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
    if cfg!(debug_assertions) {
        // SAFETY: within the capacity; as in `Buffer::new`.
        unsafe { numbers.as_mut_ptr().write_bytes(0xff, len) };
    }
    fill(Shared(numbers.as_mut_ptr()));
    // SAFETY: the capacity is at least `len`, and by the caller's promise all are written.
    unsafe { numbers.set_len(len) };
    numbers
}
