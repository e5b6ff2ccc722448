//! Operators that change the shape of a tensor and no element of it: Transpose, Squeeze, Unsqueeze and Reshape.

use rnn_zoo_models::Merge;

use super::size::{Origin, Size, origins, requested};
use super::value::{Axis, Content, Flow, Hidden, Joined};

impl Flow {
    /// Return the sizes of all dimensions.
    pub(super) fn sizes(&self) -> Result<Vec<Size>, String> {
        let sizes = self.axes.iter().map(Axis::size).collect::<Option<Vec<_>>>();
        sizes.ok_or_else(|| "has dimensions larger than any tensor".to_string())
    }

    /// Return whether nothing is known of the dimensions.
    pub(super) fn is_state(&self) -> bool {
        matches!(self.content, Content::State)
    }

    /// Put the dimensions in another order, `order[i]` at place `i`.
    pub(super) fn transposed(&self, order: &[usize]) -> Self {
        let mut flow = self.clone();
        flow.axes = order.iter().map(|&from| self.axes[from].clone()).collect();
        if let Content::Hidden(hidden) = &mut flow.content {
            let is_stack = |&&at: &&usize| matches!(self.axes[at], Axis::Stack(_));
            let new: Vec<usize> = order.iter().filter(is_stack).copied().collect();
            hidden.cells = reordered(&hidden.cells, &self.axes, &new);
        }
        flow
    }

    /// Remove dimensions of size 1: those of `places`, or all.
    pub(super) fn squeezed(&self, places: Option<&[usize]>) -> Result<Self, String> {
        let mut flow = self.clone();
        let removed = |place: &usize| match places {
            Some(places) => places.contains(place),
            None => self.axes[*place].is_one(),
        };
        // Of results, one output may be a dimension that an exporter removes by name.
        let of_results = places.is_some() && matches!(self.content, Content::Scores(_));
        let is_one = |axis: &Axis| axis.is_one() || (of_results && *axis == Axis::Features(1));
        if let Some(place) = (0..self.axes.len()).find(|place| removed(place) && !is_one(&self.axes[*place]))
        {
            return Err(format!("removes dimension {place}, whose size is not always 1"));
        }
        let kept = (0..self.axes.len()).filter(|place| !removed(place));
        flow.axes = kept.map(|place| self.axes[place].clone()).collect();
        Ok(flow)
    }

    /// Add dimensions of size 1, which are at `places` of the result.
    pub(super) fn unsqueezed(&self, places: &[usize]) -> Self {
        let mut flow = self.clone();
        let mut old = self.axes.iter();
        let rank = self.axes.len() + places.len();
        flow.axes = (0..rank)
            .filter_map(|place| if places.contains(&place) { Some(Axis::One) } else { old.next().cloned() })
            .collect();
        flow
    }

    /// Change the shape.
    pub(super) fn reshaped(&self, target: &[Size], zero_copies: bool) -> Result<Self, String> {
        let before = self.sizes()?;
        let unclear = || "changes the shape in a way that is not understood".to_string();
        let after = requested(&before, target, zero_copies).ok_or_else(unclear)?;
        let stays = |place: usize| matches!(self.axes[place], Axis::Features(_));
        let mut flow = self.clone();
        flow.axes.clear();
        for origin in origins(&before, &after, stays).ok_or_else(unclear)? {
            match origin {
                Origin::Kept(place) => flow.axes.push(self.axes[place].clone()),
                Origin::New => flow.axes.push(Axis::One),
                Origin::Gone(_) => {}
                Origin::Joined(from, end) => {
                    let joined = self.joined(&mut flow.content, from, end).ok_or_else(unclear)?;
                    flow.axes.push(joined);
                }
                Origin::Split(place, sizes) => {
                    let split = self.split(&mut flow.content, place, &sizes).ok_or_else(unclear)?;
                    flow.axes.extend(split);
                }
            }
        }
        Ok(flow)
    }

    /// Join the dimensions from `from` to before `end`.
    fn joined(&self, content: &mut Content, from: usize, end: usize) -> Option<Axis> {
        let axes: Vec<&Axis> = self.axes[from..end].iter().filter(|axis| !axis.is_one()).collect();
        let stacked = |axes: &[&Axis]| {
            axes.iter().try_fold(1_usize, |product, axis| match axis {
                Axis::Stack(size) => product.checked_mul(*size),
                _ => None,
            })
        };
        match &axes[..] {
            [] => Some(Axis::One),
            [axis] => Some((*axis).clone()),
            [Axis::Free(_), ..] => {
                let dims = axes.iter().map(|axis| match axis {
                    Axis::Free(dims) => Some(dims.clone()),
                    _ => None,
                });
                Some(Axis::Free(dims.collect::<Option<Vec<_>>>()?.concat()))
            }
            [stacks @ .., Axis::Features(size)] => {
                let count = stacked(stacks).filter(|&count| count > 0)?;
                let Content::Hidden(hidden) = content else { return None };
                // The joined dimensions must be the innermost ones.
                let last = self.axes[end..].iter().all(|axis| !matches!(axis, Axis::Stack(_)));
                let cells = hidden.cells.chunks(count).map(concatenated).collect::<Option<Vec<_>>>();
                hidden.cells = cells.filter(|_| last)?;
                Some(Axis::Features(size.checked_mul(count)?))
            }
            stacks => stacked(stacks).map(Axis::Stack),
        }
    }

    /// Split a dimension into several.
    fn split(&self, content: &mut Content, place: usize, sizes: &[Size]) -> Option<Vec<Axis>> {
        let numbers = |sizes: &[Size]| {
            let numbers = sizes.iter().map(|size| usize::try_from(size.number()?).ok());
            numbers.collect::<Option<Vec<usize>>>()
        };
        let stacks = |sizes: Vec<usize>| {
            sizes.into_iter().map(|size| if size == 1 { Axis::One } else { Axis::Stack(size) })
        };
        match &self.axes[place] {
            Axis::One => None,
            Axis::Free(dims) => {
                let mut rest = &dims[..];
                let axes = sizes.iter().map(|size| {
                    let length =
                        (1..=rest.len()).find(|&length| Size::of(&rest[..length]).as_ref() == Some(size))?;
                    let (dims, others) = rest.split_at(length);
                    rest = others;
                    Some(Axis::Free(dims.to_vec()))
                });
                let axes = axes.collect::<Option<Vec<_>>>()?;
                rest.is_empty().then_some(axes)
            }
            Axis::Stack(_) => Some(stacks(numbers(sizes)?).collect()),
            Axis::Features(_) => {
                let mut sizes = numbers(sizes)?;
                let features = sizes.pop()?;
                let count = sizes.iter().try_fold(1_usize, |count, &size| count.checked_mul(size))?;
                let Content::Hidden(Hidden { cells, .. }) = content else { return None };
                let last = self.axes[place..].iter().all(|axis| !matches!(axis, Axis::Stack(_)));
                let whole = cells.iter().all(|cell| {
                    cell.merge == Merge::Concat
                        && count > 0
                        && !cell.parts.is_empty()
                        && cell.parts.len() % count == 0
                });
                if !last || !whole {
                    return None;
                }
                let pieces = cells.iter().flat_map(|cell| cell.parts.chunks(cell.parts.len() / count));
                let piece = |parts: &[_]| Joined { merge: Merge::Concat, parts: parts.to_vec() };
                *cells = pieces.map(piece).collect();
                Some(stacks(sizes).chain([Axis::Features(features)]).collect())
            }
        }
    }
}

/// Join the features of cells one after another.
pub(super) fn concatenated(cells: &[Joined]) -> Option<Joined> {
    let whole = cells.iter().all(|cell| cell.merge == Merge::Concat || cell.parts.len() == 1);
    let parts = cells.iter().flat_map(|cell| cell.parts.clone()).collect();
    whole.then_some(Joined { merge: Merge::Concat, parts })
}

/// Return the sizes of the dimensions [`Axis::Stack`].
pub(super) fn stack_sizes(axes: &[Axis]) -> Vec<usize> {
    let sizes = axes.iter().filter_map(|axis| match axis {
        Axis::Stack(size) => Some(*size),
        _ => None,
    });
    sizes.collect()
}

/// Put cells in the order of stacks at the places `new` of `axes`, which are all stacks.
fn reordered(cells: &[Joined], axes: &[Axis], new: &[usize]) -> Vec<Joined> {
    let old: Vec<usize> = (0..axes.len()).filter(|&at| matches!(axes[at], Axis::Stack(_))).collect();
    let sizes = stack_sizes(axes);
    // The distance between neighbours along each of the new dimensions.
    let step = |at: &usize| {
        let place = old.iter().position(|other| other == at).unwrap_or(old.len());
        (sizes.get(place).copied().unwrap_or(1), sizes.iter().skip(place + 1).product::<usize>())
    };
    let mut places = vec![0];
    for (size, step) in new.iter().map(step) {
        places = places.iter().flat_map(|&place| (0..size).map(move |index| place + index * step)).collect();
    }
    places.into_iter().filter_map(|place| cells.get(place).cloned()).collect()
}
