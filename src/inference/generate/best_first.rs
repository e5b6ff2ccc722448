//! The best of many, one after another, without sorting those that nobody asks for.

use std::cmp::Ordering;

/// How many are sorted first; of what then is asked for, four times as many.
const FEW: usize = 64;

/// Gives things in order, sorting ever larger parts of them.
pub(super) struct BestFirst<T, F> {
    things: Vec<T>,
    order: F,
    given: usize,
    /// Up to here they stand in order, before all others.
    sorted: usize,
}

impl<T: Copy, F: Fn(&T, &T) -> Ordering> BestFirst<T, F> {
    /// `order` must tell any two things apart, for the same order everywhere.
    pub(super) fn new(things: Vec<T>, order: F) -> Self {
        Self { things, order, given: 0, sorted: 0 }
    }

    /// Those not given yet, in no order.
    pub(super) fn rest(&self) -> &[T] {
        &self.things[self.given..]
    }
}

impl<T: Copy, F: Fn(&T, &T) -> Ordering> Iterator for BestFirst<T, F> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        if self.given == self.sorted {
            let rest = &mut self.things[self.sorted..];
            let more = FEW.max(3 * self.sorted).min(rest.len());
            if more < rest.len() {
                rest.select_nth_unstable_by(more, &self.order);
            }
            rest[..more].sort_unstable_by(&self.order);
            self.sorted += more;
        }
        let thing = *self.things.get(self.given)?;
        self.given += 1;
        Some(thing)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn they_come_as_if_sorted(numbers in prop::collection::vec(any::<u16>(), 0..2000), taken in 0..2100usize) {
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
