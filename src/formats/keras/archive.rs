//! A `.keras` archive: the configuration of a model, and its arrays as HDF5.

use std::collections::BTreeMap;
use std::io::{Cursor, Write};

use candle_core::{DType, Tensor};
use hdf5_pure::{AttrValue, FileBuilder, GroupBuilder};
use serde_json::Value;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::file::{CONFIG, METADATA, WEIGHTS};
use crate::{Error, Result};

/// The size in bytes above which a record of an archive has a longer header.
const LARGE: usize = 1 << 31;

/// The arrays of a part of a layer: the group `PATH/vars` with the datasets `0`, `1` and so on.
pub(super) struct Group {
    /// Such as `layers/lstm/cell`.
    pub(super) path: String,
    /// The attribute `name` of the group.
    pub(super) name: String,
    pub(super) arrays: Vec<Tensor>,
}

/// Encode an archive.
///
/// # Errors
/// If an array cannot be read.
pub(super) fn archive(config: &Value, metadata: &Value, groups: &[Group]) -> Result<Vec<u8>> {
    let weights = hdf5(groups)?;
    let mut writer = ZipWriter::new(Cursor::new(vec![]));
    let records = [
        (METADATA, metadata.to_string().into_bytes()),
        (CONFIG, config.to_string().into_bytes()),
        (WEIGHTS, weights),
    ];
    for (name, bytes) in records {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .large_file(bytes.len() >= LARGE);
        let started = writer.start_file(name, options);
        started.map_err(|error| error.to_string()).map_err(Error::Message)?;
        writer.write_all(&bytes).map_err(|error| Error::Message(error.to_string()))?;
    }
    let written = writer.finish().map_err(|error| Error::Message(error.to_string()))?;
    Ok(written.into_inner())
}

/// Groups inside each other.
#[derive(Default)]
struct Node<'g> {
    groups: BTreeMap<&'g str, Node<'g>>,
    arrays: Option<&'g Group>,
}

/// Encode arrays as an HDF5 file.
fn hdf5(groups: &[Group]) -> Result<Vec<u8>> {
    let mut root = Node::default();
    for group in groups {
        let node = group.path.split('/').fold(&mut root, |node, part| node.groups.entry(part).or_default());
        node.groups.entry("vars").or_default().arrays = Some(group);
    }
    let mut file = FileBuilder::new();
    for (name, node) in &root.groups {
        let mut builder = file.create_group(name);
        fill(&mut builder, node)?;
        file.add_group(builder.finish());
    }
    file.finish().map_err(|error| Error::Message(error.to_string()))
}

fn fill(builder: &mut GroupBuilder, node: &Node<'_>) -> Result<()> {
    if let Some(group) = node.arrays {
        builder.set_attr("name", AttrValue::VarLenString(group.name.clone()));
        for (number, array) in group.arrays.iter().enumerate() {
            let elements = array.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
            let shape: Vec<u64> = array.dims().iter().map(|&length| length as u64).collect();
            builder.create_dataset(&number.to_string()).with_f32_data(&elements).with_shape(&shape);
        }
    }
    for (name, inner) in &node.groups {
        let mut group = builder.create_group(name);
        fill(&mut group, inner)?;
        builder.add_group(group.finish());
    }
    Ok(())
}
