//! Containing the panics of libraries that are given a user's files.

use std::any::Any;
use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

thread_local! {
    /// Whether a panic of this thread is caught below and must not be printed.
    static CONTAINED: Cell<bool> = const { Cell::new(false) };
}

/// Call a function and turns its panic into an error, the first line of the panic's message, without printing
/// it. Panics of other threads are printed as before.
pub(crate) fn contain<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let print = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !CONTAINED.get() {
                print(info);
            }
        }));
    });
    let outer = CONTAINED.replace(true);
    let result = panic::catch_unwind(AssertUnwindSafe(call));
    CONTAINED.set(outer);
    result.map_err(|payload| first_line(payload.as_ref()))
}

fn first_line(payload: &(dyn Any + Send)) -> String {
    let message = match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(message), _) => message,
        (_, Some(message)) => message.as_str(),
        _ => "",
    };
    message.lines().next().unwrap_or_default().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panics_become_errors_and_results_pass() {
        assert_eq!(contain(|| 3), Ok(3));
        let index = "12".len();
        assert_eq!(contain(|| panic!("line one {index}\nline two")), Err::<(), _>("line one 2".into()));
        assert_eq!(contain(|| panic!("fixed")), Err::<(), _>("fixed".into()));
        // Nested: the outer call still contains.
        let nested = contain(|| {
            contain(|| panic!("inner")).unwrap_err();
            panic!("outer")
        });
        assert_eq!(nested, Err::<(), _>("outer".into()));
        assert!(!CONTAINED.get());
    }
}
