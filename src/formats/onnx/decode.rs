//! A model of an ONNX file, decoded in bounded memory.
//!
//! A message takes many times its size in the file: two bytes make an empty node of some 200. The messages of a file
//! are therefore counted before they are decoded. The data of tensors is counted too where it takes more memory than in
//! the file; raw data is shared with the file's bytes.

use prost::Message;
use prost::bytes::Bytes;

use super::proto::{Attribute, Dimension, Model, Node, OperatorSet, Property, Tensor, Value};

/// The most memory that a graph may take beside the raw data of its tensors, in bytes.
const LARGEST: usize = 1 << 28;

/// Decode a model. The error is the problem alone.
///
/// # Errors
/// If the bytes are cut short or no model, or its graph would take more than 256 MiB.
pub(super) fn model(bytes: Bytes) -> Result<Model, String> {
    let memory = Part::Model.memory(&bytes);
    if memory > LARGEST {
        return Err(format!(
            "describes a graph that takes more than {LARGEST} bytes beside its raw data; export the network without \
             its loops unrolled"
        ));
    }
    Model::decode(bytes)
        .map_err(|error| format!("is cut short or not an ONNX file: {error}; export it again"))
}

/// A message, or a field with elements of so many bytes in memory.
#[derive(Clone, Copy)]
enum Part {
    Model,
    Entry,
    Graph,
    Node,
    Attribute,
    Tensor,
    Value,
    Type,
    TensorType,
    Shape,
    Dimension,
    Text,
    Numbers(usize),
}

impl Part {
    /// Return the part that a field of a message is; `None` if it takes no further memory.
    fn field(self, number: u64) -> Option<Self> {
        Some(match (self, number) {
            (Self::Model, 7) => Self::Graph,
            (Self::Model, 8 | 14) | (Self::Tensor, 13) => Self::Entry,
            (Self::Graph, 1) => Self::Node,
            (Self::Graph, 5) | (Self::Attribute, 5) => Self::Tensor,
            (Self::Graph, 11 | 12) => Self::Value,
            (Self::Node, 5) => Self::Attribute,
            (Self::Value, 2) => Self::Type,
            (Self::Type, 1) => Self::TensorType,
            (Self::TensorType, 2) => Self::Shape,
            (Self::Shape, 1) => Self::Dimension,
            (Self::Attribute, 8) | (Self::Tensor, 1 | 7 | 10) => Self::Numbers(8),
            (Self::Tensor, 4 | 5) => Self::Numbers(4),
            (Self::Tensor, 9) => return None,
            _ => Self::Text,
        })
    }

    /// Return the memory of the message itself.
    fn size(self) -> usize {
        match self {
            Self::Entry => size_of::<Property>().max(size_of::<OperatorSet>()),
            Self::Node => size_of::<Node>(),
            Self::Attribute => size_of::<Attribute>(),
            Self::Tensor => size_of::<Tensor>(),
            Self::Value => size_of::<Value>(),
            Self::Dimension => size_of::<Dimension>(),
            Self::Text => size_of::<String>(),
            Self::Model | Self::Graph | Self::Type | Self::TensorType | Self::Shape | Self::Numbers(_) => 0,
        }
    }

    /// Return the memory that a part of these bytes takes at most, up to the first byte that is malformed, which
    /// decoding finds again.
    fn memory(self, mut bytes: &[u8]) -> usize {
        match self {
            Self::Text => return self.size() + bytes.len(),
            // At least one byte for each number.
            Self::Numbers(size) => return bytes.len().saturating_mul(size),
            _ => {}
        }
        let mut memory = self.size();
        while let Some((number, content)) = field(&mut bytes) {
            memory = memory.saturating_add(match (self.field(number), content) {
                (Some(part), Some(content)) => part.memory(content),
                // One number, in the field of its own that older writers give to each.
                (Some(Self::Numbers(size)), None) => size,
                (_, _) => 0,
            });
        }
        memory
    }
}

/// Read a field: its number and, unless it is a single number, its content. `None` at the end or where the bytes are
/// malformed.
fn field<'b>(bytes: &mut &'b [u8]) -> Option<(u64, Option<&'b [u8]>)> {
    let key = varint(bytes)?;
    let length = match key & 7 {
        0 => return varint(bytes).map(|_| (key >> 3, None)),
        1 => 8,
        2 => usize::try_from(varint(bytes)?).ok()?,
        5 => 4,
        _ => return None,
    };
    let (content, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some((key >> 3, (key & 7 == 2).then_some(content)))
}

/// Read a number of 7 bits a byte, the lowest first.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}
