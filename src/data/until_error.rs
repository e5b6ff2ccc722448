//! Items that are read one by one, up to the first error.

use std::iter;

use crate::Result;

/// Iterator that ends after the first error.
pub(super) struct UntilError<I>(Option<I>);

impl<I> UntilError<I> {
    pub(super) fn new(items: I) -> Self {
        Self(Some(items))
    }
}

impl<T, I: Iterator<Item = Result<T>>> Iterator for UntilError<I> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.0.as_mut()?.next();
        if !matches!(next, Some(Ok(_))) {
            self.0 = None;
        }
        next
    }
}

/// The items that `read` returns, up to the first error or `None`.
pub(super) fn until_error<T>(mut read: impl FnMut() -> Result<Option<T>>) -> impl Iterator<Item = Result<T>> {
    UntilError::new(iter::from_fn(move || read().transpose()))
}
