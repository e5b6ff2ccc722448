//! `rnn plot --attention`: the attention of a translator over a text.

use rnn_zoo::inference::search::SearchOptions;
use rnn_zoo::inference::translation::{Alignment, Translation};
use rnn_zoo::training::plot::AttentionMap;

use super::bundle_argument::load_model;
use super::compute::Compute;

/// Return the attention of a bundle's greedy translation of `text`.
pub fn alignment(bundle: &str, text: &str, compute: &Compute) -> anyhow::Result<AttentionMap> {
    let device = compute.open()?;
    let model = load_model(bundle, &device)?;
    let Alignment { source, target, weights } =
        Translation::new(&model, SearchOptions::default())?.align(text)?;
    Ok(AttentionMap { title: format!("attention of {bundle}"), source, target, weights })
}
