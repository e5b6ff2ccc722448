//! Error codes, the last error message of each thread, and panics turned into error codes.

use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char};

use crate::Error;
use crate::contain::contain;

/// The result of a function. `rnn_zoo_last_error` has the message of any but `RNN_ZOO_CODE_OK`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RnnZooCode {
    /// Done.
    Ok = 0,
    /// A pointer is null, or a text is not UTF-8.
    Argument = 1,
    /// The bundle cannot be loaded.
    Bundle = 2,
    /// The model cannot do this: it is no language model, or its layers have no kernels for single steps.
    Unsuited = 3,
    /// A token is not in the vocabulary, or an array has the wrong length.
    Range = 4,
    /// The network cannot compute the step.
    Compute = 5,
    /// A defect of the library. The object that was called can only be freed.
    Panic = 6,
}

/// The reason that a function fails.
pub(super) struct Problem {
    code: RnnZooCode,
    message: String,
}

impl Problem {
    pub(super) fn new(code: RnnZooCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// A failed step.
    pub(super) fn compute(error: candle_core::Error) -> Self {
        Self::new(RnnZooCode::Compute, Error::from(error).to_string())
    }
}

thread_local! {
    /// The message of the last failure of this thread.
    static LAST: RefCell<CString> = RefCell::default();
}

/// Call a function, and turn its failure or panic into a code and the message of this thread.
pub(super) fn guarded(call: impl FnOnce() -> Result<(), Problem>) -> RnnZooCode {
    let problem = match contain(call) {
        Ok(Ok(())) => return RnnZooCode::Ok,
        Ok(Err(problem)) => problem,
        Err(panic) => {
            Problem::new(RnnZooCode::Panic, format!("a defect of rnn-zoo: {panic}; please report it"))
        }
    };
    let Problem { code, message } = problem;
    // One line without a NUL, which would end it.
    let message = message.replace(['\n', '\r', '\0'], " ");
    LAST.set(CString::new(message).unwrap_or_default());
    code
}

/// Return the message of the last function of this thread that failed; empty if none has. The text stays valid until
/// another function of this thread fails, and is not to be freed.
#[unsafe(no_mangle)]
pub extern "C" fn rnn_zoo_last_error() -> *const c_char {
    LAST.with_borrow(|message| message.as_ptr())
}

/// Return the version of the library, as `0.1.0`.
#[unsafe(no_mangle)]
pub extern "C" fn rnn_zoo_version() -> *const c_char {
    const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
    CStr::from_bytes_with_nul(VERSION.as_bytes()).unwrap_or_default().as_ptr()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last() -> String {
        // SAFETY: the pointer is that of this thread's message.
        unsafe { CStr::from_ptr(rnn_zoo_last_error()) }.to_str().unwrap().to_string()
    }

    #[test]
    fn panics_and_failures_leave_a_message_in_their_thread() {
        assert_eq!(guarded(|| Ok(())), RnnZooCode::Ok);
        assert_eq!(last(), "");
        assert_eq!(guarded(|| panic!("index {}", 7)), RnnZooCode::Panic);
        assert_eq!(last(), "a defect of rnn-zoo: index 7; please report it");
        let problem = || Err(Problem::new(RnnZooCode::Range, "two\nlines\0and a NUL"));
        assert_eq!(guarded(problem), RnnZooCode::Range);
        assert_eq!(last(), "two lines and a NUL");
        // A success keeps the message, and another thread has its own.
        assert_eq!(guarded(|| Ok(())), RnnZooCode::Ok);
        assert_eq!(last(), "two lines and a NUL");
        std::thread::spawn(|| assert_eq!(last(), "")).join().unwrap();
    }

    #[test]
    fn version_is_that_of_the_crate() {
        // SAFETY: the pointer is that of a constant that ends with NUL.
        let version = unsafe { CStr::from_ptr(rnn_zoo_version()) };
        assert_eq!(version.to_str().unwrap(), env!("CARGO_PKG_VERSION"));
    }
}
