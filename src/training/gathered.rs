//! The state of a run that differs between its processes: the hidden state of their rows, and the generators of their
//! dropout masks.

use std::path::Path;

use candle_core::Tensor;
use rnn_zoo_models::State;

use super::trainer::Trainer;
use crate::bundle::{decode, encode_with};
use crate::distributed::{Ranks, gather};
use crate::inference::carry::Carried;
use crate::parameters::NamedTensors;
use crate::rng::{self, Position, Purpose};
use crate::{Error, Result};

/// The state of all processes, in the order of their ranks.
pub(super) struct Gathered {
    /// The hidden state of all rows, `h` and `c`: (layers, batch, hidden).
    pub(super) carry: NamedTensors,
    /// The generators of dropout masks of the processes after the first.
    pub(super) other_noise: Vec<Position>,
}

impl Trainer {
    /// Make this trainer that of one of several processes, with its rows of the hidden state and a generator of its
    /// own: the one in `other_noise`, or a new one.
    ///
    /// # Errors
    /// If a batch has fewer rows than there are processes, and errors from candle.
    pub(super) fn join(&mut self, ranks: Ranks, other_noise: &[Position]) -> Result<()> {
        let (rank, size, rows) = (ranks.rank(), ranks.size(), self.options.batch_size);
        if rows < size {
            let problem =
                format!("is {rows}, less than the {size} processes; expected a row for each at least");
            return Err(Error::invalid("batch_size", problem));
        }
        if let Some(State { h, c }) = self.carried.state() {
            let own = ranks.shard().rows(h.dim(1)?);
            let of_rows = |tensor: &Tensor| tensor.narrow(1, own.start, own.len())?.contiguous();
            self.carried = match own.is_empty() {
                true => Carried::default(),
                false => State { h: of_rows(h)?, c: c.as_ref().map(of_rows).transpose()? }.into(),
            };
        }
        if rank > 0 {
            let saved = other_noise.get(rank - 1).and_then(Position::restore);
            self.noise = saved.unwrap_or_else(|| rng::stream(self.options.seed, Purpose::Noise, rank as u64));
            self.progress.noise = Position::from(&self.noise);
        }
        self.ranks = ranks;
        Ok(())
    }

    /// Collect the state of all processes, which all call this.
    ///
    /// # Errors
    /// Errors from candle.
    pub(super) fn gathered(&self) -> Result<Gathered> {
        let mut own = NamedTensors::new();
        if let Some(State { h, c }) = self.carried.state() {
            own.insert("h".into(), h.clone());
            own.extend(c.iter().map(|c| ("c".to_string(), c.clone())));
        }
        let ranks = self.ranks.as_ref();
        if ranks.size() == 1 {
            return Ok(Gathered { carry: own, other_noise: vec![] });
        }
        let unreadable =
            |error| Error::Message(format!("the state of another process cannot be read: {error}"));
        let noise = serde_json::to_vec(&self.progress.noise).map_err(unreadable)?;
        let noise = gather(ranks, &noise).into_iter().skip(1).map(|noise| serde_json::from_slice(&noise));
        let other_noise = noise.collect::<Result<_, _>>().map_err(unreadable)?;
        let parts = gather(ranks, &encode_with(&own, None)?).into_iter();
        let parts = parts.map(|bytes| Ok(decode(Path::new("hidden state"), &bytes)?.0));
        Ok(Gathered { carry: concatenated(&parts.collect::<Result<Vec<_>>>()?)?, other_noise })
    }
}

/// Concatenate tensors of the same name over the batch. A process without rows has none.
fn concatenated(parts: &[NamedTensors]) -> Result<NamedTensors> {
    let mut whole = NamedTensors::new();
    for name in ["h", "c"] {
        let rows: Vec<&Tensor> = parts.iter().filter_map(|part| part.get(name)).collect();
        if !rows.is_empty() {
            whole.insert(name.into(), Tensor::cat(&rows, 1)?);
        }
    }
    Ok(whole)
}
