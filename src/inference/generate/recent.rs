//! Which tokens a text has had, and how long ago, in memory that does not grow with it.

/// When each token of the vocabulary last was in a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recent {
    /// The turn of each token's last appearance, counted from 1; 0 for never.
    last: Vec<u64>,
    turn: u64,
}

impl Recent {
    /// The text goes on with `token`.
    pub fn push(&mut self, token: u32) {
        let place = token as usize;
        if place >= self.last.len() {
            self.last.resize(place + 1, 0);
        }
        self.turn += 1;
        self.last[place] = self.turn;
    }

    /// The different tokens among the newest `window` of the text, or in all of it.
    pub fn within(&self, window: Option<usize>) -> impl Iterator<Item = usize> {
        let before = window.map_or(0, |window| self.turn.saturating_sub(window as u64));
        self.last.iter().enumerate().filter(move |&(_, &turn)| turn > before).map(|(token, _)| token)
    }

    /// For each token how many turns ago it was, 1 for the newest; 0 for never.
    pub(super) fn ages(&self) -> Vec<i64> {
        let age = |&turn: &u64| if turn == 0 { 0 } else { (self.turn - turn + 1) as i64 };
        self.last.iter().map(age).collect()
    }

    /// What [`Recent::ages`] tells of; none where an age is negative.
    pub(super) fn from_ages(ages: &[i64]) -> Option<Self> {
        let ages: Vec<u64> = ages.iter().map(|&age| u64::try_from(age).ok()).collect::<Option<_>>()?;
        let turn = ages.iter().copied().max().unwrap_or(0);
        let last = ages.iter().map(|&age| if age == 0 { 0 } else { turn - age + 1 }).collect();
        Some(Self { last, turn })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_window_holds_the_newest_tokens(
            text in prop::collection::vec(0..9u32, 0..40),
            window in prop::option::of(1..50usize),
        ) {
            let mut recent = Recent::default();
            text.iter().for_each(|&token| recent.push(token));
            let newest = &text[text.len().saturating_sub(window.unwrap_or(usize::MAX))..];
            let expected: BTreeSet<usize> = newest.iter().map(|&token| token as usize).collect();
            prop_assert_eq!(recent.within(window).collect::<BTreeSet<_>>(), expected.clone());
            // The same after a save, and with the same text behind it.
            let mut restored = Recent::from_ages(&recent.ages()).unwrap();
            prop_assert_eq!(restored.within(window).collect::<BTreeSet<_>>(), expected);
            restored.push(8);
            recent.push(8);
            prop_assert_eq!(restored.ages(), recent.ages());
        }
    }

    #[test]
    fn a_negative_age_is_none() {
        assert_eq!(Recent::from_ages(&[3, -1]), None);
    }
}
