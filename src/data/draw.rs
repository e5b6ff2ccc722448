//! Stratified random split of records into train, valid and test: the same fraction of each class.
//!
//! A first pass counts the records of each class, and [`Quotas`] fixes how many of each go to valid and test. Every
//! later pass draws the split of one record after the other, so that nothing but a counter for each class is held in
//! memory (selection sampling: Knuth, The Art of Computer Programming, volume 2, 3.4.2, algorithm S).

use std::collections::BTreeMap;

use rand::RngExt;

use super::fractions::{Fractions, records_in};
use super::source::Split;
use crate::rng::{self, Purpose, Rng};

/// The seed of all draws.
const SEED: u64 = 0;

/// The numbers of records of each class, which is empty for records without classes.
#[derive(Clone, Debug)]
pub(super) struct Quotas(BTreeMap<String, Quota>);

#[derive(Clone, Copy, Debug, Default)]
struct Quota {
    records: u64,
    valid: u64,
    test: u64,
}

impl Quotas {
    /// The quotas for `counts` records of each class. The total of a split is its fraction of all records, rounded up.
    /// Each class with at least three records has one in valid and test, if the totals suffice; each class has one in
    /// train.
    pub fn new(counts: &BTreeMap<String, u64>, fractions: Fractions) -> Self {
        let records: Vec<u64> = counts.values().copied().collect();
        let divisible = |count: u64| count >= 3;
        let reserved = 1 + u64::from(fractions.valid > 0.);
        let most: Vec<u64> = records.iter().map(|&n| if divisible(n) { n - reserved } else { 0 }).collect();
        let test = apportion(&records, &most, fractions.test);
        let left = |(&n, &test): (&u64, &u64)| if divisible(n) { n - 1 - test } else { 0 };
        let most: Vec<u64> = records.iter().zip(&test).map(left).collect();
        let valid = apportion(&records, &most, fractions.valid);
        let quotas = valid.into_iter().zip(test).zip(records);
        let quotas = quotas.map(|((valid, test), records)| Quota { records, valid, test });
        Self(counts.keys().cloned().zip(quotas).collect())
    }

    /// The number of records in a split.
    pub fn total(&self, split: Split) -> u64 {
        let of = |quota: &Quota| match split {
            Split::Train => quota.records - quota.valid - quota.test,
            Split::Valid => quota.valid,
            Split::Test => quota.test,
            Split::All => quota.records,
        };
        self.0.values().map(of).sum()
    }
}

/// The number of records of each class in a split: in total `share` of all, rounded up; `most` of each class at most;
/// at least one of each that may have any, if the total suffices; otherwise as near to `share` of each as it can be.
fn apportion(records: &[u64], most: &[u64], share: f64) -> Vec<u64> {
    let all: u64 = records.iter().sum();
    let total = records_in(share, all).min(most.iter().sum());
    let eligible = most.iter().filter(|&&most| most > 0).count() as u64;
    let least = u64::from(total >= eligible);
    let ideal: Vec<f64> = records.iter().map(|&n| share * n as f64).collect();
    let mut given: Vec<u64> =
        ideal.iter().zip(most).map(|(ideal, &most)| (*ideal as u64).max(least).min(most)).collect();
    let mut order: Vec<usize> = (0..records.len()).collect();
    loop {
        let sum: u64 = given.iter().sum();
        let lacking = |at: usize| ideal[at] - given[at] as f64;
        order.sort_by(|&a, &b| lacking(b).total_cmp(&lacking(a)));
        if sum < total {
            let open: Vec<usize> = order.iter().copied().filter(|&at| given[at] < most[at]).collect();
            let (lack, each) = (total - sum, share_of(total - sum, open.len()));
            open.iter().take(lack as usize).for_each(|&at| given[at] += each.min(most[at] - given[at]));
        } else if sum > total {
            let open: Vec<usize> =
                order.iter().rev().copied().filter(|&at| given[at] > least.min(most[at])).collect();
            let (excess, each) = (sum - total, share_of(sum - total, open.len()));
            open.iter()
                .take(excess as usize)
                .for_each(|&at| given[at] -= each.min(given[at] - least.min(most[at])));
        } else {
            return given;
        }
    }
}

/// The records of `count` that each of `classes` gets in one round, at least 1.
fn share_of(count: u64, classes: usize) -> u64 {
    (count / classes.max(1) as u64).max(1)
}

/// The splits of the records of a file, drawn in their order.
#[derive(Debug)]
pub(super) struct Draw {
    left: BTreeMap<String, Quota>,
    rng: Rng,
}

impl Draw {
    /// The draw before the first record.
    pub fn new(quotas: &Quotas) -> Self {
        Self { left: quotas.0.clone(), rng: rng::stream(SEED, Purpose::Split, 0) }
    }

    /// The split of the next record, of that class. A record beyond the counts belongs to train.
    pub fn next(&mut self, class: &str) -> Split {
        let Some(left) = self.left.get_mut(class).filter(|left| left.records > 0) else {
            return Split::Train;
        };
        let drawn = self.rng.random_range(0..left.records);
        left.records -= 1;
        if drawn < left.test {
            left.test -= 1;
            Split::Test
        } else if drawn < left.test + left.valid {
            left.valid -= 1;
            Split::Valid
        } else {
            Split::Train
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn counts(records: &[u64]) -> BTreeMap<String, u64> {
        records.iter().enumerate().map(|(class, &count)| (format!("{class:06}"), count)).collect()
    }

    #[test]
    fn shares_of_one_class_are_exact() {
        for (count, valid, test, expected) in [
            (5000, 0.05, 0.05, [4500, 250, 250]),
            (3, 0.05, 0.05, [1, 1, 1]),
            (2, 0.05, 0.05, [2, 0, 0]),
            (100, 0.1, 0., [90, 10, 0]),
            (10, 0.6, 0.39, [1, 5, 4]),
        ] {
            let quotas = Quotas::new(&counts(&[count]), Fractions { valid, test });
            let totals = [Split::Train, Split::Valid, Split::Test].map(|split| quotas.total(split));
            assert_eq!(totals, expected, "{count} records, {valid}, {test}");
        }
    }

    #[test]
    fn rare_classes_are_in_every_split() {
        let quotas = Quotas::new(&counts(&[392, 5, 3, 2, 1]), Fractions::default());
        let of = |class: usize| quotas.0[&format!("{class:06}")];
        for class in 0..3 {
            assert!(of(class).valid >= 1 && of(class).test >= 1, "{class}");
        }
        assert_eq!((of(3).valid, of(3).test, of(4).valid, of(4).test), (0, 0, 0, 0));
        assert_eq!((quotas.total(Split::Valid), quotas.total(Split::Test)), (21, 21));
        // Too few places for all: the common classes come first.
        let many = Quotas::new(&counts(&[&[1000][..], &[3; 500]].concat()), Fractions::default());
        assert_eq!((many.total(Split::Valid), many.total(Split::Test)), (125, 125));
        assert!(many.0["000000"].test >= 50);
    }

    proptest! {
        #[test]
        fn draws_meet_their_quotas(
            records in prop::collection::vec(1_u64..60, 1..8), valid in 0.0..0.4, test in 0.0..0.4,
        ) {
            let quotas = Quotas::new(&counts(&records), Fractions { valid, test });
            let mut draw = Draw::new(&quotas);
            let mut found = BTreeMap::<(String, &str), u64>::new();
            // The classes alternate.
            for round in 0..60 {
                for (class, count) in counts(&records) {
                    if round < count {
                        let split = draw.next(&class);
                        *found.entry((class, split.name())).or_default() += 1;
                    }
                }
            }
            for (class, quota) in &quotas.0 {
                let of = |split: Split| found.get(&(class.clone(), split.name())).copied().unwrap_or(0);
                prop_assert_eq!((of(Split::Valid), of(Split::Test)), (quota.valid, quota.test));
                prop_assert!(of(Split::Train) >= 1);
            }
        }
    }

    #[test]
    fn draws_are_the_same_in_every_version() {
        let mut draw = Draw::new(&Quotas::new(&counts(&[20]), Fractions { valid: 0.2, test: 0.2 }));
        let splits: Vec<&str> = (0..20).map(|_| draw.next("000000").name()).collect();
        assert_eq!(
            splits.join(" "),
            "valid train train valid train valid train train test test train test train train train train valid train test train"
        );
    }

    #[test]
    fn draws_take_from_the_whole_file() {
        let quotas = Quotas::new(&counts(&[1000]), Fractions::default());
        let mut draw = Draw::new(&quotas);
        let tests: Vec<usize> = (0..1000).filter(|_| draw.next("000000") == Split::Test).collect();
        let mean = tests.iter().sum::<usize>() as f64 / tests.len() as f64;
        assert!((400. ..600.).contains(&mean) && tests[0] < 100 && tests[49] > 900, "{tests:?}");
    }
}
