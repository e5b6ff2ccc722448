//! Pointers from C as references. Null is refused; everything else is as the caller says.

use std::ffi::{CStr, c_char};

use super::problem::{Problem, RnnZooCode};

/// The error about a null pointer.
fn null(name: &str) -> Problem {
    Problem::new(RnnZooCode::Argument, format!("{name} is a null pointer"))
}

/// Return a shared reference to what a pointer points to. `name` is the argument, for the error.
///
/// # Safety
/// A pointer that is not null points to a valid `T`, which nothing changes meanwhile.
pub(super) unsafe fn shared<'a, T>(pointer: *const T, name: &str) -> Result<&'a T, Problem> {
    // SAFETY: by the contract of this function.
    unsafe { pointer.as_ref() }.ok_or_else(|| null(name))
}

/// Return an exclusive reference to what a pointer points to.
///
/// # Safety
/// A pointer that is not null points to a valid `T`, which nothing else uses meanwhile.
pub(super) unsafe fn exclusive<'a, T>(pointer: *mut T, name: &str) -> Result<&'a mut T, Problem> {
    // SAFETY: by the contract of this function.
    unsafe { pointer.as_mut() }.ok_or_else(|| null(name))
}

/// An array of `count` elements to read.
///
/// # Safety
/// A pointer that is not null points to `count` valid elements, which nothing changes meanwhile.
pub(super) unsafe fn array<'a, T>(pointer: *const T, count: usize, name: &str) -> Result<&'a [T], Problem> {
    if pointer.is_null() {
        return Err(null(name));
    }
    // SAFETY: by the contract of this function; no object of C is larger than `isize::MAX` bytes.
    Ok(unsafe { std::slice::from_raw_parts(pointer, count) })
}

/// Copy elements to an array that has room for `capacity`.
///
/// # Errors
/// If the array is null or too small; the message has the required size.
///
/// # Safety
/// A pointer that is not null points to writable memory for `capacity` elements, which nothing else uses meanwhile. It
/// may be uninitialised.
pub(super) unsafe fn copy_to<T: Copy>(
    values: &[T],
    pointer: *mut T,
    capacity: usize,
    name: &str,
) -> Result<(), Problem> {
    if pointer.is_null() {
        return Err(null(name));
    }
    if values.len() > capacity {
        let problem = format!("{name} has room for {capacity} elements; expected {}", values.len());
        return Err(Problem::new(RnnZooCode::Range, problem));
    }
    // SAFETY: there is room for `capacity` elements, at least as many as are copied. `values` is memory of the library,
    // which the caller's array does not overlap.
    unsafe { std::ptr::copy_nonoverlapping(values.as_ptr(), pointer, values.len()) };
    Ok(())
}

/// A text that ends with NUL.
///
/// # Safety
/// A pointer that is not null points to a text that ends with NUL, which nothing changes meanwhile.
pub(super) unsafe fn text<'a>(pointer: *const c_char, name: &str) -> Result<&'a str, Problem> {
    if pointer.is_null() {
        return Err(null(name));
    }
    // SAFETY: by the contract of this function.
    let text = unsafe { CStr::from_ptr(pointer) };
    text.to_str().map_err(|_| Problem::new(RnnZooCode::Argument, format!("{name} is not UTF-8 text")))
}
