//! Lazy sorting: the first elements of a sorted order, without sorting the rest.

use std::cmp::Ordering;

/// The number of elements that are sorted first. Each further time the sorted part becomes four times as long.
const FIRST_PART: usize = 64;

/// Yields elements in order, and sorts ever larger parts of them.
pub(super) struct BestFirst<T, F> {
    elements: Vec<T>,
    order: F,
    /// The number of elements yielded.
    yielded: usize,
    /// The length of the sorted part, whose elements come before all others.
    sorted: usize,
}

impl<T: Copy, F: Fn(&T, &T) -> Ordering> BestFirst<T, F> {
    /// `order` must be total and never equal, so that the result is the same on every machine.
    pub(super) fn new(elements: Vec<T>, order: F) -> Self {
        Self { elements, order, yielded: 0, sorted: 0 }
    }

    /// The elements that have not been yielded, unsorted.
    pub(super) fn rest(&self) -> &[T] {
        &self.elements[self.yielded..]
    }
}

impl<T: Copy, F: Fn(&T, &T) -> Ordering> Iterator for BestFirst<T, F> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        if self.yielded == self.sorted {
            let rest = &mut self.elements[self.sorted..];
            let more = FIRST_PART.max(3 * self.sorted).min(rest.len());
            if more < rest.len() {
                rest.select_nth_unstable_by(more, &self.order);
            }
            rest[..more].sort_unstable_by(&self.order);
            self.sorted += more;
        }
        let element = *self.elements.get(self.yielded)?;
        self.yielded += 1;
        Some(element)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn elements_come_sorted(numbers in prop::collection::vec(any::<u16>(), 0..2000), taken in 0..2100usize) {
            let mut sorted = numbers.clone();
            sorted.sort_unstable();
            let mut order = BestFirst::new(numbers, u16::cmp);
            let first: Vec<u16> = order.by_ref().take(taken).collect();
            let taken = taken.min(sorted.len());
            prop_assert_eq!(first, &sorted[..taken]);
            let mut rest = order.rest().to_vec();
            rest.sort_unstable();
            prop_assert_eq!(rest, &sorted[taken..]);
        }
    }
}
