//! The tokens of a text and the time of their last occurrence, in memory that does not grow with the text.

/// The last occurrence of each token of the vocabulary in a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recent {
    /// The position of each token's last occurrence, counted from 1; 0 if it has not occurred.
    last: Vec<u64>,
    /// The length of the text.
    length: u64,
}

impl Recent {
    /// Append a token to the text.
    pub fn push(&mut self, token: u32) {
        let place = token as usize;
        if place >= self.last.len() {
            self.last.resize(place + 1, 0);
        }
        self.length += 1;
        self.last[place] = self.length;
    }

    /// The distinct tokens among the last `window` of the text, or in all of it.
    pub fn within(&self, window: Option<usize>) -> impl Iterator<Item = usize> {
        let before = window.map_or(0, |window| self.length.saturating_sub(window as u64));
        self.last.iter().enumerate().filter(move |&(_, &last)| last > before).map(|(token, _)| token)
    }

    /// Each token that has occurred, in ascending order, with the number of tokens since its last occurrence: 1 for the
    /// newest. An age beyond [`u32::MAX`] is that number.
    pub(super) fn ages(&self) -> impl Iterator<Item = (u32, u32)> {
        let age = |last: u64| u32::try_from(self.length - last + 1).unwrap_or(u32::MAX);
        let occurred = self.last.iter().enumerate().filter(|&(_, &last)| last > 0);
        occurred.map(move |(token, &last)| (token as u32, age(last)))
    }

    /// The inverse of [`Recent::ages`] for tokens of a vocabulary of that size; `None` if a token is beyond it or comes
    /// twice, or an age is not positive.
    pub(super) fn from_ages(ages: &[(u32, i64)], vocabulary: usize) -> Option<Self> {
        let places = ages.iter().map(|&(token, _)| token as usize + 1).max().unwrap_or(0);
        if places > vocabulary || ages.iter().any(|&(_, age)| age <= 0) {
            return None;
        }
        let length = ages.iter().map(|&(_, age)| age.unsigned_abs()).max().unwrap_or(0);
        let mut last = vec![0; places];
        for &(token, age) in ages {
            let before = std::mem::replace(&mut last[token as usize], length - age.unsigned_abs() + 1);
            if before > 0 {
                return None;
            }
        }
        Some(Self { last, length })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn window_holds_the_newest_tokens(
            text in prop::collection::vec(0..9u32, 0..40),
            window in prop::option::of(1..50usize),
        ) {
            let mut recent = Recent::default();
            text.iter().for_each(|&token| recent.push(token));
            let newest = &text[text.len().saturating_sub(window.unwrap_or(usize::MAX))..];
            let expected: BTreeSet<usize> = newest.iter().map(|&token| token as usize).collect();
            prop_assert_eq!(recent.within(window).collect::<BTreeSet<_>>(), expected.clone());
            // A restored value is equal, and stays equal as the text goes on.
            let ages: Vec<_> = recent.ages().map(|(token, age)| (token, i64::from(age))).collect();
            let mut restored = Recent::from_ages(&ages, 9).unwrap();
            prop_assert_eq!(restored.within(window).collect::<BTreeSet<_>>(), expected);
            restored.push(8);
            recent.push(8);
            prop_assert_eq!(restored.ages().collect::<Vec<_>>(), recent.ages().collect::<Vec<_>>());
        }
    }

    #[test]
    fn ages_of_no_text_are_none() {
        for wrong in [[(0, 3), (1, -1)], [(0, 3), (1, 0)], [(0, 3), (0, 1)], [(0, 3), (9, 1)]] {
            assert_eq!(Recent::from_ages(&wrong, 9), None, "{wrong:?}");
        }
        assert_eq!(Recent::from_ages(&[], 9), Some(Recent::default()));
    }
}
