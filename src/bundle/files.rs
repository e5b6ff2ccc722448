//! The names of a bundle's files.

pub(crate) const CONFIG: &str = "config.json";
pub(crate) const MODEL: &str = "model.safetensors";
pub(super) const TOKENIZER: &str = "tokenizer.json";
/// The reports of the run, one JSON object a line.
pub const METRICS: &str = "metrics.jsonl";
pub(super) const README: &str = "README.md";
/// The picture of the run, which the model card shows.
pub const CURVE: &str = "curve.svg";
/// The settings of the run.
pub const RECIPE: &str = "recipe.toml";
/// The checksums of an exported bundle. Other bundles have none.
pub(super) const CHECKSUMS: &str = "SHA256SUMS";
pub(super) const LAST: &str = "training/last.safetensors";
pub(super) const BEST: &str = "training/best.safetensors";
pub(super) const AVERAGE: &str = "training/average.safetensors";
pub(super) const OPTIMIZER: &str = "training/optimizer.safetensors";
pub(super) const CARRY: &str = "training/carry.safetensors";
pub(super) const STATE: &str = "training/state.json";

/// The files that a save replaces or removes. All others belong to the user and stay.
pub(super) const OWN: [&str; 14] = [
    CONFIG, MODEL, TOKENIZER, METRICS, README, CURVE, RECIPE, CHECKSUMS, LAST, BEST, AVERAGE, OPTIMIZER,
    CARRY, STATE,
];
