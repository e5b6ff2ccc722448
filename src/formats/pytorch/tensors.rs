//! The tensors of a file: of a pickle's storages, or of safetensors.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use candle_core::{Device, Tensor};

use super::file::{LEGACY, TorchFile};
use super::layers::Layers;
use super::object::{Element, Storage, View};
use super::state;
use crate::bundle::read_tensors_and_metadata;
use crate::formats::stored_zip::ZIP;
use crate::parameters::NamedTensors;
use crate::{Error, Result, regular_file};

/// The key of `config.json` in the metadata of an exported file.
pub(super) const CONFIG: &str = "rnn_zoo.config";

/// The tensors of a file.
pub(super) struct FileTensors {
    /// Those of floats, by name. Names that share a tensor have the same one.
    pub(super) tensors: NamedTensors,
    /// The names of the others, which can be no parameters, with the type of their elements.
    pub(super) others: BTreeMap<String, String>,
    /// The configuration that an export of this program adds.
    pub(super) config: Option<String>,
    /// The layers of a whole module.
    pub(super) layers: Layers,
}

/// Read the tensors of a file.
///
/// # Errors
/// If it is damaged, or a tensor does not fit its storage.
pub(super) fn read(path: &Path, head: &[u8]) -> Result<FileTensors> {
    if head.starts_with(ZIP) || head.starts_with(LEGACY) {
        let (file, size) = regular_file::open(path)?;
        let found = TorchFile::open(file).and_then(|mut file| pickled(&mut file, size));
        return found.map_err(|problem| Error::file(path, problem));
    }
    let (tensors, mut metadata) = read_tensors_and_metadata(path, &Device::Cpu)?;
    let (floats, others): (Vec<_>, Vec<_>) =
        tensors.into_iter().partition(|(_, tensor)| tensor.dtype().is_float());
    let kind = |(name, tensor): (String, Tensor)| (name, tensor.dtype().as_str().to_string());
    Ok(FileTensors {
        tensors: floats.into_iter().collect(),
        others: others.into_iter().map(kind).collect(),
        config: metadata.remove(CONFIG),
        layers: Layers::default(),
    })
}

/// Read the tensors of a pickle from a file of `size` bytes.
fn pickled(file: &mut TorchFile, size: u64) -> Result<FileTensors, String> {
    let mut names: BTreeMap<&View, Vec<&str>> = BTreeMap::new();
    let mut others = BTreeMap::new();
    let (views, layers) = state::tensors(&file.pickle)?;
    for (name, view) in &views {
        match &view.storage.element {
            Element::Float(_) => names.entry(view).or_default().push(name),
            Element::Other(kind) => drop(others.insert(name.clone(), kind.clone())),
        }
    }
    check_sizes(&names, size)?;
    let mut tensors = NamedTensors::new();
    let mut last: Option<(&Storage, Vec<u8>)> = None;
    // The views are sorted by storage, so that each storage is read once.
    for (view, names) in names {
        let bytes = match last {
            Some((storage, bytes)) if *storage == view.storage => bytes,
            _ => file.bytes(&view.storage)?,
        };
        let tensor = tensor(view, &bytes).map_err(|problem| format!("tensor {} {problem}", names[0]))?;
        tensors.extend(names.iter().map(|name| ((*name).to_string(), tensor.clone())));
        last = Some((&view.storage, bytes));
    }
    Ok(FileTensors { tensors, others, config: None, layers })
}

/// Check that every view fits its storage, that all views together have no more elements than their storages, and that
/// these have no more bytes than the file, of `size` bytes: a small file could otherwise describe any number of tensors
/// by naming the same bytes again.
fn check_sizes(names: &BTreeMap<&View, Vec<&str>>, size: u64) -> Result<(), String> {
    let mut viewed: u64 = 0;
    for (view, names) in names {
        let elements = view.elements().map_err(|problem| format!("tensor {} {problem}", names[0]))?;
        viewed = viewed.saturating_add(elements as u64);
    }
    let storages: BTreeSet<&Storage> = names.keys().map(|view| &view.storage).collect();
    let (mut elements, mut bytes): (u64, u64) = (0, 0);
    for Storage { element, count, .. } in storages {
        elements = elements.saturating_add(*count as u64);
        let width = element.size().unwrap_or_default() as u64;
        bytes = bytes.saturating_add((*count as u64).saturating_mul(width));
    }
    if viewed > elements {
        return Err(format!(
            "has tensors that overlap: {viewed} elements in storages of {elements}; save copies of them"
        ));
    }
    if bytes > size {
        return Err(format!(
            "has {size} bytes, but its tensors need {bytes}; it is cut short or damaged; copy it again"
        ));
    }
    Ok(())
}

/// Return the tensor that a view describes, of the bytes of its storage.
fn tensor(view: &View, bytes: &[u8]) -> Result<Tensor, String> {
    let Element::Float(float) = view.storage.element else { return Err("holds no floats".to_string()) };
    let (dtype, size) = (float.dtype(), float.dtype().size_in_bytes());
    let count = view.elements()?;
    let mut elements = Vec::with_capacity(count * size);
    let mut index = vec![0; view.shape.len()];
    // The longest part that is contiguous is copied in one piece.
    let (outer, run) = contiguous_run(view);
    for _ in 0..count.checked_div(run).unwrap_or(0) {
        let place: usize = index.iter().zip(&view.stride).map(|(at, stride)| at * stride).sum();
        let start = (view.offset + place) * size;
        elements.extend_from_slice(&bytes[start..start + run * size]);
        for axis in (0..outer).rev() {
            index[axis] += 1;
            if index[axis] < view.shape[axis] {
                break;
            }
            index[axis] = 0;
        }
    }
    Tensor::from_raw_buffer(&elements, dtype, &view.shape, &Device::Cpu).map_err(|error| error.to_string())
}

/// Return the number of leading dimensions, and the number of elements that lie one after another in the others.
fn contiguous_run(view: &View) -> (usize, usize) {
    let (mut outer, mut run) = (view.shape.len(), 1);
    while outer > 0 && (view.stride[outer - 1] == run || view.shape[outer - 1] == 1) {
        outer -= 1;
        run = run.saturating_mul(view.shape[outer]);
    }
    (outer, run)
}
