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

    /// For each token the number of tokens since its last occurrence, 1 for the newest; 0 if it has not occurred.
    pub(super) fn ages(&self) -> Vec<i64> {
        let age = |&last: &u64| if last == 0 { 0 } else { (self.length - last + 1) as i64 };
        self.last.iter().map(age).collect()
    }

    /// The inverse of [`Recent::ages`]; `None` if an age is negative.
    pub(super) fn from_ages(ages: &[i64]) -> Option<Self> {
        let ages: Vec<u64> = ages.iter().map(|&age| u64::try_from(age).ok()).collect::<Option<_>>()?;
        let length = ages.iter().copied().max().unwrap_or(0);
        let last = ages.iter().map(|&age| if age == 0 { 0 } else { length - age + 1 }).collect();
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
            let mut restored = Recent::from_ages(&recent.ages()).unwrap();
            prop_assert_eq!(restored.within(window).collect::<BTreeSet<_>>(), expected);
            restored.push(8);
            recent.push(8);
            prop_assert_eq!(restored.ages(), recent.ages());
        }
    }

    #[test]
    fn negative_age_is_none() {
        assert_eq!(Recent::from_ages(&[3, -1]), None);
    }
}
