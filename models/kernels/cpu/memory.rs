//! Buffers that workers share. Each worker writes its own part and reads the parts of others only after a
//! barrier.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, PoisonError};

use pulp::bytemuck::Pod;

use super::tuning::{SPARE_BYTES, SPARE_MIN_BYTES};

/// Bytes of a cache line. Every buffer is aligned to one.
pub(crate) const CACHE_LINE: usize = 64;

/// Elements at a fixed address, accessed through a pointer.
///
/// The borrow checker does not cover these accesses: each one states why no other worker touches the same
/// elements at the same time.
pub(crate) struct Buffer<T> {
    memory: Block,
    len: usize,
    elements: PhantomData<T>,
}

impl<T: Pod> Buffer<T> {
    /// Allocate `len` elements. They are uninitialised, or NaN under debug assertions, so that tests find a kernel that
    /// reads an element before it is written.
    pub(in crate::kernels::cpu) fn new(len: usize) -> Self {
        let bytes = len.checked_mul(size_of::<T>()).expect("invariant: a buffer fits the address space");
        let buffer = Self { memory: Block::new(bytes), len, elements: PhantomData };
        if cfg!(debug_assertions) {
            // SAFETY: the buffer has `len` elements, and all bits set are NaN.
            unsafe { buffer.at(0).write_bytes(0xff, len) };
        }
        buffer
    }

    /// Allocate `len` zeros.
    pub(crate) fn zeros(len: usize) -> Self {
        let buffer = Self::new(len);
        // SAFETY: the buffer has `len` elements; `T: Pod` is valid as zero bits.
        unsafe { buffer.at(0).write_bytes(0, len) };
        buffer
    }

    /// Return the number of elements.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Return the address of element `index`. `index == len` gives the end.
    pub(crate) fn at(&self, index: usize) -> *mut T {
        assert!(index <= self.len, "element {index} of a buffer of {}", self.len);
        // SAFETY: within the memory or one past it, as just checked.
        unsafe { self.memory.start.as_ptr().cast::<T>().add(index) }
    }
}

/// A block of memory, returned to [`SPARE`] when dropped.
struct Block {
    start: NonNull<u8>,
    bytes: usize,
}

// SAFETY: memory is plain bytes; every access through its pointer is unsafe and justified where it happens.
unsafe impl Send for Block {}
// SAFETY: as above.
unsafe impl Sync for Block {}

/// Freed blocks, oldest first. Training asks for the same sizes at every step. Fresh memory from the system costs a
/// page fault for each page, which takes longer than the kernels that fill it.
static SPARE: Mutex<Vec<Block>> = Mutex::new(Vec::new());

impl Block {
    fn new(bytes: usize) -> Self {
        let bytes = bytes.max(1).next_multiple_of(CACHE_LINE);
        if bytes >= SPARE_MIN_BYTES {
            let mut spare = Self::spare();
            if let Some(index) = spare.iter().rposition(|memory| memory.bytes == bytes) {
                return spare.remove(index);
            }
        }
        let layout = Self::layout(bytes);
        // SAFETY: the layout has at least one cache line.
        match NonNull::new(unsafe { alloc(layout) }) {
            Some(start) => Self { start, bytes },
            None => handle_alloc_error(layout),
        }
    }

    fn spare() -> MutexGuard<'static, Vec<Self>> {
        SPARE.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn layout(bytes: usize) -> Layout {
        let layout = Layout::from_size_align(bytes, CACHE_LINE);
        layout.expect("invariant: a buffer is no larger than a few existing tensors")
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        let mut freed = vec![];
        if (SPARE_MIN_BYTES..=SPARE_BYTES).contains(&self.bytes) {
            let mut spare = Self::spare();
            spare.push(Self { start: self.start, bytes: self.bytes });
            let mut total: usize = spare.iter().map(|memory| memory.bytes).sum();
            while total > SPARE_BYTES {
                let oldest = spare.remove(0);
                total -= oldest.bytes;
                freed.push((oldest.start, oldest.bytes));
                std::mem::forget(oldest);
            }
        } else {
            freed.push((self.start, self.bytes));
        }
        for (start, bytes) in freed {
            // SAFETY: allocated in `new` with the same layout, and no longer referenced.
            unsafe { dealloc(start.as_ptr(), Self::layout(bytes)) };
        }
    }
}

/// A pointer that workers may share, under the rules of [`Buffer`].
#[derive(Clone, Copy)]
pub(crate) struct SharedPtr<T>(*mut T);

// SAFETY: every access through the pointer is unsafe and justified where it happens.
unsafe impl<T: Send> Send for SharedPtr<T> {}
// SAFETY: as above. A shared pointer lets several threads write elements, which moves values between threads.
unsafe impl<T: Send> Sync for SharedPtr<T> {}

impl<T> From<*mut T> for SharedPtr<T> {
    fn from(start: *mut T) -> Self {
        Self(start)
    }
}

impl<T> SharedPtr<T> {
    /// Make a pointer to the start of a slice that workers will write.
    pub(crate) fn new(elements: &mut [T]) -> Self {
        Self(elements.as_mut_ptr())
    }

    /// Return the address of element `index`.
    ///
    /// # Safety
    /// `index` must be within the memory that the pointer was made from.
    pub(crate) unsafe fn at(self, index: usize) -> *mut T {
        // SAFETY: the caller's promise.
        unsafe { self.0.add(index) }
    }
}

/// Make a vector of `len` elements, all of which `fill` writes.
///
/// # Safety
/// `fill` must write all `len` elements.
pub(crate) unsafe fn filled<T: Pod>(len: usize, fill: impl FnOnce(SharedPtr<T>)) -> Vec<T> {
    let mut elements: Vec<T> = Vec::with_capacity(len);
    if cfg!(debug_assertions) {
        // SAFETY: within the capacity; as in `Buffer::new`.
        unsafe { elements.as_mut_ptr().write_bytes(0xff, len) };
    }
    fill(SharedPtr(elements.as_mut_ptr()));
    // SAFETY: the capacity is at least `len`, and by the caller's promise all elements are written.
    unsafe { elements.set_len(len) };
    elements
}
