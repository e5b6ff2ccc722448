//! The loss of a linear-chain conditional random field as one node of candle's graph, and its best tag sequences.

mod chain;

use std::marker::PhantomData;
use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp2, DType, Device, Layout, Result, Shape, Tensor, bail};

use self::chain::{Chain, SequenceLoss};
use super::backend::{Operation, dispatch};
use super::reference;
use super::storage::elements;
use crate::kernels::cpu::{GradientOperand, Isa, Real};
use crate::kernels::run_chunked;

/// The scores of a batch of sequences under a chain.
#[derive(Clone, Copy)]
pub(crate) struct ChainScores<'a> {
    /// The scores of the tags at each step, (batch, time, tags).
    pub(crate) emissions: &'a Tensor,
    /// (tags + 2, tags): the transitions (from, to), the starts, the ends.
    pub(crate) potentials: &'a Tensor,
    /// Steps of each sequence; all of them if `None`.
    pub(crate) lengths: Option<&'a [usize]>,
}

impl ChainScores<'_> {
    /// Compute `-log p(tags)` in nats, summed over the sequences: a scalar with a gradient. `targets` is (batch, time)
    /// u32.
    ///
    /// # Errors
    /// If the shapes disagree, a length is above `time`, or a target within a sequence is not a tag.
    pub(crate) fn loss(self, targets: &Tensor) -> Result<Tensor> {
        let targets = TagSequences::of(self, targets)?;
        dispatch(Loss { scores: self, targets: &targets }, self.emissions)
    }

    /// Compute `-log p(tags)` of each sequence in nats, without a gradient.
    ///
    /// # Errors
    /// As [`ChainScores::loss`].
    pub(crate) fn losses(self, targets: &Tensor) -> Result<Vec<f64>> {
        let TagSequences { sequences, time } = TagSequences::of(self, targets)?;
        self.for_each(time, |chain, emissions, row| {
            let y = &sequences[row];
            chain.loss(&emissions[..y.len() * chain.tags()], y)
        })
    }

    /// Find the tags of the highest score of each sequence.
    ///
    /// # Errors
    /// If the shapes disagree or a length is above `time`.
    pub(crate) fn best(self) -> Result<Vec<Vec<u32>>> {
        let (lengths, time) = self.lengths()?;
        self.for_each(time, |chain, emissions, row| chain.best(&emissions[..lengths[row] * chain.tags()]).0)
    }

    /// Return the steps of each sequence and of the batch.
    fn lengths(self) -> Result<(Vec<usize>, usize)> {
        let (batch, time, tags) = self.emissions.dims3()?;
        if self.potentials.dims() != [tags + 2, tags] {
            bail!(
                "potentials are {:?}; expected {:?} for {tags} tags",
                self.potentials.dims(),
                [tags + 2, tags]
            );
        }
        let lengths = self.lengths.map_or_else(|| vec![time; batch], <[usize]>::to_vec);
        reference::check_lengths(&lengths, (batch, time))?;
        Ok((lengths, time))
    }

    /// Call `work` with the emissions of each sequence, (time, tags), on all threads, and return the results in order.
    fn for_each<T: Send + Sync>(
        self,
        time: usize,
        work: impl Fn(&Chain, &[f64], usize) -> T + Sync,
    ) -> Result<Vec<T>> {
        let tags = self.emissions.dim(2)?;
        let values = |tensor: &Tensor| tensor.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>();
        let (emissions, chain) = (values(self.emissions)?, Chain::new(&values(self.potentials)?, tags));
        let width = time * tags;
        Ok(side_by_side(self.emissions.dim(0)?, |row| work(&chain, &emissions[row * width..][..width], row)))
    }
}

/// Call `work` with all indices below `count` on all threads, and return the results in order.
fn side_by_side<T: Send + Sync>(count: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let results: Vec<OnceLock<T>> = (0..count).map(|_| OnceLock::new()).collect();
    run_chunked(count, |range| range.for_each(|index| drop(results[index].set(work(index)))));
    results.into_iter().map(|result| result.into_inner().expect("every index is in one range")).collect()
}

/// The tags of each sequence, without padding.
struct TagSequences {
    sequences: Vec<Vec<u32>>,
    /// Steps of the batch.
    time: usize,
}

impl TagSequences {
    /// Check and read (batch, time) `targets`.
    fn of(scores: ChainScores<'_>, targets: &Tensor) -> Result<Self> {
        let (lengths, time) = scores.lengths()?;
        let (batch, _, tags) = scores.emissions.dims3()?;
        if targets.dims() != [batch, time] {
            bail!("targets are {:?}; expected (batch, time) {:?}", targets.dims(), [batch, time]);
        }
        let rows = targets.to_dtype(DType::U32)?.to_vec2::<u32>()?;
        let sequences: Vec<Vec<u32>> =
            rows.iter().zip(&lengths).map(|(row, &length)| row[..length].to_vec()).collect();
        if let Some(target) = sequences.iter().flatten().find(|&&target| target as usize >= tags) {
            bail!("target {target} is none of the {tags} tags");
        }
        Ok(Self { sequences, time })
    }
}

/// The choice between the implementations of the summed loss.
struct Loss<'a> {
    scores: ChainScores<'a>,
    targets: &'a TagSequences,
}

impl Operation for Loss<'_> {
    type Output = Tensor;

    fn cpu<O: GradientOperand<Sum: Real>>(self, _isa: Isa) -> Result<Tensor> {
        let Self { scores, targets: TagSequences { sequences, time } } = self;
        let op = ChainLoss::<O::Sum> {
            sequences: sequences.clone(),
            time: *time,
            gradients: OnceLock::new(),
            element: PhantomData,
        };
        scores.emissions.contiguous()?.apply_op2(&scores.potentials.contiguous()?, op)?.reshape(())
    }

    fn reference(self) -> Result<Tensor> {
        let ChainScores { emissions, potentials, .. } = self.scores;
        reference::chain_loss(emissions, potentials, &self.targets.sequences)
    }
}

/// The summed loss as a function of emissions, (batch, time, tags), and potentials, (tags + 2, tags).
struct ChainLoss<E> {
    sequences: Vec<Vec<u32>>,
    time: usize,
    /// The gradients of the emissions and potentials, for a loss whose gradient is 1.
    gradients: OnceLock<[Tensor; 2]>,
    element: PhantomData<E>,
}

impl<E: Real> CustomOp2 for ChainLoss<E> {
    fn name(&self) -> &'static str {
        "linear-chain-loss"
    }

    fn cpu_fwd(
        &self,
        emissions: &CpuStorage,
        emissions_layout: &Layout,
        potentials: &CpuStorage,
        potentials_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let tags = potentials_layout.dims()[1];
        let emissions = elements::<E>(emissions, emissions_layout)?;
        let potentials: Vec<f64> =
            elements::<E>(potentials, potentials_layout)?.iter().map(|score| score.to_f64()).collect();
        let (chain, width) = (Chain::new(&potentials, tags), self.time * tags);
        let rows = side_by_side(self.sequences.len(), |row| {
            let y = &self.sequences[row];
            let emissions: Vec<f64> =
                emissions[row * width..][..y.len() * tags].iter().map(|score| score.to_f64()).collect();
            chain.loss_and_gradients(&emissions, y)
        });

        let mut loss = 0.;
        let mut d_emissions = vec![E::from_f64(0.); emissions.len()];
        let mut d_potentials = vec![0.; potentials.len()];
        for (row, result) in rows.iter().enumerate() {
            let SequenceLoss { loss: row_loss, d_emissions: from, d_potentials: more } = result;
            loss += row_loss;
            let to = &mut d_emissions[row * width..];
            to.iter_mut().zip(from).for_each(|(to, &from)| *to = E::from_f64(from));
            d_potentials.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
        }
        let d_potentials = d_potentials.into_iter().map(E::from_f64).collect::<Vec<E>>();
        let gradients = [
            Tensor::from_vec(d_emissions, emissions_layout.shape(), &Device::Cpu)?,
            Tensor::from_vec(d_potentials, potentials_layout.shape(), &Device::Cpu)?,
        ];
        let _ = self.gradients.set(gradients); // an op runs forward once
        Ok((E::to_cpu_storage_owned(vec![E::from_f64(loss)]), Shape::from(1)))
    }

    fn bwd(
        &self,
        _emissions: &Tensor,
        _potentials: &Tensor,
        _loss: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let Some([d_emissions, d_potentials]) = self.gradients.get() else {
            bail!("a loss saved nothing for its backward pass")
        };
        let factor = gradient.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?[0];
        Ok((Some((d_emissions * factor)?), Some((d_potentials * factor)?)))
    }
}
