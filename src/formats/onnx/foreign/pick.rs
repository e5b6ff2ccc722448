//! Operators that take parts of outputs and states or put them together: Slice, Gather, Split, Concat, reductions, and
//! sums and products of both directions.

use rnn_zoo_models::{Merge, Readout};

use super::reshape::{concatenated, stack_sizes};
use super::size::Size;
use super::value::{Axis, Content, Flow, Hidden, Joined, Kind};

/// The part of a dimension that a Slice takes: from the first index to before the second; to the end if `None`.
pub(super) struct Range {
    pub(super) start: Size,
    pub(super) end: Option<Size>,
}

impl Range {
    /// Return the range of one index.
    pub(super) fn one(index: &Size) -> Self {
        let end = index.plus(1).filter(|end| end.number() != Some(0));
        Self { start: index.clone(), end }
    }

    /// Return first index and length of the range in a dimension of the size `of`.
    pub(super) fn bounds(&self, of: usize) -> Result<(usize, usize), String> {
        let unclear = || "takes a part that differs from call to call".to_string();
        let clamped = |index: &Size| {
            let index = index.number().ok_or_else(unclear)?;
            let from_end = if index < 0 { index.saturating_add_unsigned(of as u64) } else { index };
            Ok::<_, String>(usize::try_from(from_end).unwrap_or(0).min(of))
        };
        let start = clamped(&self.start)?;
        let end = self.end.as_ref().map_or(Ok(of), clamped)?;
        Ok((start, end.saturating_sub(start)))
    }

    /// Return whether the range has everything of a dimension of the size `of`.
    fn is_whole(&self, of: &Size) -> bool {
        let huge = |end: &Size| end.number().is_some_and(|end| end >= i64::from(i32::MAX));
        self.start.number() == Some(0) && self.end.as_ref().is_none_or(|end| huge(end) || end == of)
    }

    /// Return whether the range has the last element alone.
    fn is_last(&self, of: &Size) -> bool {
        let huge = |end: &Size| end.number().is_some_and(|end| end >= i64::from(i32::MAX));
        self.start.is_last(of) && self.end.as_ref().is_none_or(|end| huge(end) || end == of)
    }

    /// Return whether the range has the first element alone.
    fn is_first(&self) -> bool {
        let [start, end] = [Some(&self.start), self.end.as_ref()].map(|size| size.and_then(Size::number));
        (start, end) == (Some(0), Some(1))
    }
}

impl Flow {
    /// Take a part of a dimension.
    pub(super) fn narrowed(&self, place: usize, range: &Range) -> Result<Self, String> {
        let axis = &self.axes[place];
        let size = axis.size().ok_or("has dimensions larger than any tensor")?;
        let mut flow = self.clone();
        match (&mut flow.content, axis) {
            (Content::Input, _) => return Ok(Self { content: Content::State, axes: vec![] }),
            _ if range.is_whole(&size) => {}
            (Content::Hidden(hidden), Axis::Stack(count)) => {
                let (start, length) = range.bounds(*count)?;
                let inner: usize = stack_sizes(&self.axes[place + 1..]).iter().product();
                let outer = hidden.cells.chunks((count * inner).max(1));
                let taken = |cells: &[Joined]| cells[start * inner..(start + length) * inner].to_vec();
                hidden.cells = outer.flat_map(taken).collect();
                flow.axes[place] = Axis::Stack(length);
            }
            (Content::Hidden(hidden), Axis::Features(count)) => {
                let (start, length) = range.bounds(*count)?;
                for cell in &mut hidden.cells {
                    let width = count / cell.parts.len().max(1);
                    if cell.merge != Merge::Concat || width == 0 || start % width != 0 || length % width != 0
                    {
                        return Err("takes some features of a direction".to_string());
                    }
                    cell.parts = cell.parts[start / width..(start + length) / width].to_vec();
                }
                flow.axes[place] = Axis::Features(length);
            }
            (Content::Hidden(hidden), axis) => {
                hidden.step(axis, range, &size)?;
                flow.axes[place] = Axis::One;
            }
            _ => return Err("takes a part of a tensor that is needed whole".to_string()),
        }
        if let Content::Hidden(hidden) = &mut flow.content {
            hidden.settle();
        }
        Ok(flow)
    }

    /// Put tensors one after another along a dimension.
    pub(super) fn together(flows: &[&Self], place: usize) -> Result<Self, String> {
        if flows.iter().all(|flow| matches!(flow.content, Content::State | Content::Input)) {
            return Ok(Self { content: Content::State, axes: vec![] });
        }
        let mut parts = vec![];
        for flow in flows {
            match &flow.content {
                Content::Hidden(hidden) => parts.push((hidden, &flow.axes)),
                _ => {
                    return Err("joins other tensors than outputs and states of recurrent layers".to_string());
                }
            }
        }
        let Some(&(first, axes)) = parts.first() else { return Err("has no inputs".to_string()) };
        let others = |axes: &[Axis]| [&axes[..place], &axes[place + 1..]].concat();
        let alike = parts.iter().all(|(hidden, other)| {
            other.len() == axes.len()
                && others(other) == others(axes)
                && (hidden.kind, &hidden.time) == (first.kind, &first.time)
        });
        if !alike {
            return Err("joins outputs of different shapes or kinds".to_string());
        }
        let mut axes = axes.clone();
        let width = |axis: &Axis| match axis {
            Axis::Stack(size) | Axis::Features(size) => *size,
            _ => 1,
        };
        let total = parts.iter().map(|(_, axes)| width(&axes[place])).sum();
        let cells = match &axes[place] {
            Axis::Features(_) => {
                let joined = (0..first.cells.len()).map(|at| {
                    let cells = parts.iter().map(|(hidden, _)| hidden.cells.get(at).cloned());
                    concatenated(&cells.collect::<Option<Vec<_>>>()?)
                });
                axes[place] = Axis::Features(total);
                joined.collect::<Option<Vec<_>>>().ok_or("joins merged directions with others")?
            }
            Axis::Free(_) => return Err("joins outputs along time or batch".to_string()),
            Axis::One | Axis::Stack(_) => {
                let inner: usize = stack_sizes(&axes[place + 1..]).iter().product();
                let outer: usize = stack_sizes(&axes[..place]).iter().product();
                let block = |at: usize, (hidden, axes): &(&Hidden, &Vec<Axis>)| {
                    let length = width(&axes[place]) * inner;
                    hidden.cells[at * length..(at + 1) * length].to_vec()
                };
                axes[place] = Axis::Stack(total);
                (0..outer).flat_map(|at| parts.iter().flat_map(move |part| block(at, part))).collect()
            }
        };
        Ok(Self { content: Content::Hidden(Hidden { cells, ..first.clone() }), axes })
    }

    /// Reduce a dimension to size 1: the steps, or the directions.
    pub(super) fn reduced(&self, operator: &str, place: usize) -> Result<Self, String> {
        let mut flow = self.clone();
        let Content::Hidden(hidden) = &mut flow.content else {
            return Err("reduces another tensor than outputs of a recurrent layer".to_string());
        };
        match (&self.axes[place], operator) {
            (Axis::Stack(count), _) => {
                let merge = match operator {
                    "ReduceSum" => Merge::Sum,
                    "ReduceMean" => Merge::Ave,
                    "ReduceProd" => Merge::Mul,
                    _ => return Err("merges directions in an unknown way".to_string()),
                };
                let inner: usize = stack_sizes(&self.axes[place + 1..]).iter().product();
                let outer = hidden.cells.chunks((count * inner).max(1));
                let cells = outer.flat_map(|cells| {
                    (0..inner).map(move |at| merged(merge, cells.iter().skip(at).step_by(inner)))
                });
                hidden.cells = cells.collect::<Result<_, _>>()?;
            }
            (Axis::One, _) => {}
            (Axis::Free(dims), "ReduceMean" | "ReduceMax") if hidden.is_along(dims) => {
                let is_mean = operator == "ReduceMean";
                hidden.kind = Kind::Read(if is_mean { Readout::Mean } else { Readout::Max });
            }
            _ => return Err("reduces in a way that no readout does".to_string()),
        }
        flow.axes[place] = Axis::One;
        Ok(flow)
    }

    /// Merge two directions.
    pub(super) fn merged(&self, other: &Self, merge: Merge) -> Result<Self, String> {
        let problem = || "combines tensors that are no two directions of a layer".to_string();
        let mut flow = self.clone();
        match (&mut flow.content, &other.content) {
            (Content::Hidden(hidden), Content::Hidden(others))
                if self.axes == other.axes
                    && (hidden.kind, &hidden.time) == (others.kind, &others.time)
                    && hidden.cells.len() == others.cells.len() =>
            {
                let pairs = hidden.cells.iter().zip(&others.cells);
                let cells = pairs.map(|(one, other)| merged(merge, [one, other].into_iter()));
                hidden.cells = cells.collect::<Result<_, _>>()?;
                Ok(flow)
            }
            _ => Err(problem()),
        }
    }
}

impl Hidden {
    /// Whether dimensions are those of the steps.
    fn is_along(&self, dims: &[super::size::Dim]) -> bool {
        self.kind == Kind::Steps && self.time.as_deref() == Some(dims)
    }

    /// Take one step along a dimension of the size `of`.
    fn step(&mut self, axis: &Axis, range: &Range, of: &Size) -> Result<(), String> {
        let is_time = match axis {
            Axis::Free(dims) => self.is_along(dims),
            _ => false,
        };
        if !is_time {
            return Err("takes some sequences of the batch".to_string());
        }
        let first = range.is_first();
        if !first && !range.is_last(of) {
            return Err("takes other steps than the last one".to_string());
        }
        self.kind = Kind::Step(first);
        Ok(())
    }
}

/// Merge the features of single parts.
fn merged<'c>(merge: Merge, cells: impl Iterator<Item = &'c Joined>) -> Result<Joined, String> {
    let parts = cells.map(|cell| match cell.parts[..] {
        [part] => Ok(part),
        _ => Err("merges features of several directions".to_string()),
    });
    Ok(Joined { merge, parts: parts.collect::<Result<_, _>>()? })
}
