//! Sizes of tensors, which may differ from call to call.

/// The most dimensions of a tensor.
pub(super) const MOST_DIMENSIONS: usize = 16;

/// A dimension of an input of the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Dim {
    /// Equal for dimensions that always have the same size.
    pub(super) id: usize,
    /// The size, if the file fixes it.
    pub(super) size: Option<i64>,
}

/// A size or an index: `factor` times the sizes of the dimensions `free`, plus `offset`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Size {
    factor: i64,
    /// In the order of their numbers.
    free: Vec<usize>,
    /// 0 for a size without free dimensions.
    offset: i64,
}

impl Size {
    /// Return a size that is the same in every call.
    pub(super) fn fixed(size: i64) -> Self {
        Self { factor: size, free: vec![], offset: 0 }
    }

    /// Return the product of dimensions; `None` if it is larger than any tensor.
    pub(super) fn of(dims: &[Dim]) -> Option<Self> {
        dims.iter().try_fold(Self::fixed(1), |product, dim| {
            product.times(&match dim.size {
                Some(size) => Self::fixed(size),
                None => Self { factor: 1, free: vec![dim.id], offset: 0 },
            })
        })
    }

    /// Return the number, if it is the same in every call.
    pub(super) fn number(&self) -> Option<i64> {
        self.free.is_empty().then_some(self.factor)
    }

    /// Return whether this is the index of the last element along a dimension of the size `of`.
    pub(super) fn is_last(&self, of: &Self) -> bool {
        self.number() == Some(-1) || of.plus(-1).as_ref() == Some(self)
    }

    /// Return the product with another size; `None` if it has no such form, or more factors than any tensor has.
    pub(super) fn times(&self, other: &Self) -> Option<Self> {
        if self.offset != 0 || other.offset != 0 || self.free.len() + other.free.len() > MOST_DIMENSIONS {
            return None;
        }
        let mut free = [&self.free[..], &other.free].concat();
        free.sort_unstable();
        Some(Self { factor: self.factor.checked_mul(other.factor)?, free, offset: 0 })
    }

    /// Return the sum with a number.
    pub(super) fn plus(&self, number: i64) -> Option<Self> {
        match self.number() {
            Some(size) => size.checked_add(number).map(Self::fixed),
            None => Some(Self { offset: self.offset.checked_add(number)?, ..self.clone() }),
        }
    }

    /// Return the quotient; `None` if it is no whole number in every call.
    pub(super) fn divided_by(&self, other: &Self) -> Option<Self> {
        if self.offset != 0 || other.offset != 0 || self.factor.checked_rem(other.factor)? != 0 {
            return None;
        }
        let mut free = self.free.clone();
        for id in &other.free {
            free.remove(free.iter().position(|found| found == id)?);
        }
        Some(Self { factor: self.factor / other.factor, free, offset: 0 })
    }
}

/// Return the product of sizes.
fn product(sizes: &[Size]) -> Option<Size> {
    sizes.iter().try_fold(Size::fixed(1), |product, size| product.times(size))
}

/// The origin of dimensions of a reshaped tensor, in terms of those before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The same dimension.
    Kept(usize),
    /// A new dimension of size 1.
    New,
    /// A dimension of size 1, which is gone.
    Gone(usize),
    /// Several dimensions, from the first to the second.
    Joined(usize, usize),
    /// Part of a dimension, which becomes several of these sizes.
    Split(usize, Vec<Size>),
}

/// Return the sizes that a Reshape asks for, with the numbers 0 and -1 replaced; `None` if they do not fit.
pub(super) fn requested(before: &[Size], target: &[Size], zero_copies: bool) -> Option<Vec<Size>> {
    let copied = |(place, size): (usize, &Size)| match size.number() {
        Some(0) if zero_copies => before.get(place).cloned(),
        _ => Some(size.clone()),
    };
    let mut after = target.iter().enumerate().map(copied).collect::<Option<Vec<_>>>()?;
    if let Some(place) = after.iter().position(|size| size.number() == Some(-1)) {
        after[place] = Size::fixed(1);
        after[place] = product(before)?.divided_by(&product(&after)?)?;
    }
    (product(before)? == product(&after)?).then_some(after)
}

/// Return where the dimensions `after` a Reshape come from; `None` if they are no joined, split, added and removed
/// ones. Dimensions `before` that `stay` are not removed, even of size 1.
pub(super) fn origins(before: &[Size], after: &[Size], stays: impl Fn(usize) -> bool) -> Option<Vec<Origin>> {
    let is_one = |size: Option<&Size>| size.is_some_and(|size| size.number() == Some(1));
    let (mut from, mut to, mut origins) = (0, 0, vec![]);
    while from < before.len() || to < after.len() {
        if from < before.len() && before.get(from) == after.get(to) {
            origins.push(Origin::Kept(from));
            (from, to) = (from + 1, to + 1);
        } else if is_one(after.get(to)) {
            origins.push(Origin::New);
            to += 1;
        } else if is_one(before.get(from)) && !stays(from) {
            origins.push(Origin::Gone(from));
            from += 1;
        } else if let Some(end) = (from + 2..=before.len())
            .find(|&end| to < after.len() && product(&before[from..end]).as_ref() == after.get(to))
        {
            origins.push(Origin::Joined(from, end));
            (from, to) = (end, to + 1);
        } else {
            let end = (to + 2..=after.len())
                .find(|&end| from < before.len() && product(&after[to..end]).as_ref() == before.get(from))?;
            origins.push(Origin::Split(from, after[to..end].to_vec()));
            (from, to) = (from + 1, end);
        }
    }
    Some(origins)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn free(id: usize) -> Size {
        Size::of(&[Dim { id, size: None }]).unwrap()
    }

    #[test]
    fn requested_sizes_follow_from_those_before() {
        let before = [free(0), free(1), Size::fixed(10)];
        let rows = free(0).times(&free(1)).unwrap();
        for (target, expected) in [
            (vec![Size::fixed(-1), Size::fixed(10)], Some(vec![rows.clone(), Size::fixed(10)])),
            (vec![Size::fixed(0), Size::fixed(0), Size::fixed(-1)], Some(before.to_vec())),
            (vec![free(0), Size::fixed(-1), Size::fixed(5)], {
                Some(vec![free(0), free(1).times(&Size::fixed(2)).unwrap(), Size::fixed(5)])
            }),
            (vec![Size::fixed(-1), Size::fixed(3)], None),
            (vec![free(2), Size::fixed(-1), Size::fixed(10)], None),
        ] {
            assert_eq!(requested(&before, &target, true), expected);
        }
    }

    #[test]
    fn dimensions_are_kept_joined_split_added_and_removed() {
        let [time, batch] = [free(0), free(1)];
        let rows = time.times(&batch).unwrap();
        let number = Size::fixed;
        let found =
            |before: &[Size], after: &[Size]| origins(before, after, |at| at + 1 == before.len()).unwrap();
        let (kept, joined) = (Origin::Kept, Origin::Joined);
        let pair = [time.clone(), batch.clone()];
        let both = [&pair[..], &[number(2), number(5)]].concat();
        let merged = [&pair[..], &[number(10)]].concat();
        assert_eq!(found(&both, &merged), [kept(0), kept(1), joined(2, 4)]);
        let split = Origin::Split(2, vec![number(2), number(5)]);
        assert_eq!(found(&merged, &both), [kept(0), kept(1), split]);
        let flat = [rows.clone(), number(10)];
        assert_eq!(found(&merged, &flat), [joined(0, 2), kept(2)]);
        assert_eq!(found(&flat, &merged), [Origin::Split(0, pair.to_vec()), kept(1)]);
        let one = [time.clone(), number(1), batch.clone(), number(1)];
        assert_eq!(found(&one, &[time, batch, number(1)]), [kept(0), Origin::Gone(1), kept(2), kept(3)]);
        assert_eq!(origins(&[number(6)], &[number(4)], |_| false), None);
    }
}
