//! The objects that a pickle describes, as data.

use std::rc::Rc;

use candle_core::DType;

/// An index into [`Pickle::objects`].
pub(super) type Id = usize;

/// A pickle that has been read: objects that refer to each other by index, possibly in circles.
#[derive(Debug)]
pub(super) struct Pickle {
    pub(super) objects: Vec<Object>,
    pub(super) root: Id,
}

/// One object. Those of other classes are kept as what they hold; nothing of a class is ever called.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Object {
    /// `None`.
    None,
    /// A float, or an object whose content does not matter.
    Other,
    Bool(bool),
    Int(i64),
    /// Shared: other objects may name it any number of times.
    Text(Rc<str>),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// A class or function, by name.
    Global(String),
    Storage(Storage),
    Tensor(View),
    /// An object of any class, with its attributes once they are set.
    Instance {
        class: Id,
        attributes: Option<Id>,
    },
}

/// The elements of one or more tensors, which are not in the pickle itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Storage {
    /// The name of its record in the file.
    pub(super) key: Rc<str>,
    pub(super) element: Element,
    /// Number of elements.
    pub(super) count: usize,
}

/// The type of a storage's elements.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Element {
    Float(Float),
    /// The class of a storage of other elements, such as `LongStorage`.
    Other(String),
}

/// Float types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Float {
    F16,
    Bf16,
    F32,
    F64,
}

impl Float {
    /// Return the type of candle.
    pub(super) fn dtype(self) -> DType {
        match self {
            Self::F16 => DType::F16,
            Self::Bf16 => DType::BF16,
            Self::F32 => DType::F32,
            Self::F64 => DType::F64,
        }
    }
}

impl Element {
    /// Return the type of a storage's class in the module `torch`.
    pub(super) fn of_class(class: &str) -> Self {
        match class {
            "HalfStorage" => Self::Float(Float::F16),
            "BFloat16Storage" => Self::Float(Float::Bf16),
            "FloatStorage" => Self::Float(Float::F32),
            "DoubleStorage" => Self::Float(Float::F64),
            other => Self::Other(other.to_string()),
        }
    }

    /// Return the size of one element in bytes; `None` if it is unknown.
    pub(super) fn size(&self) -> Option<usize> {
        match self {
            Self::Float(float) => Some(float.dtype().size_in_bytes()),
            Self::Other(class) => match class.as_str() {
                "ByteStorage" | "CharStorage" | "BoolStorage" => Some(1),
                "ShortStorage" => Some(2),
                "IntStorage" | "ComplexHalfStorage" => Some(4),
                "LongStorage" | "ComplexFloatStorage" => Some(8),
                "ComplexDoubleStorage" => Some(16),
                _ => None,
            },
        }
    }
}

/// A tensor as a part of a storage: element (i, j) is at `offset + i * stride[0] + j * stride[1]`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct View {
    pub(super) storage: Storage,
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    pub(super) stride: Vec<usize>,
}

impl View {
    /// Return the number of elements. The error is the problem alone.
    ///
    /// # Errors
    /// If an element lies outside the storage, or the tensor has more elements than its storage, so that it would need
    /// more memory than the file has bytes.
    pub(super) fn elements(&self) -> Result<usize, String> {
        let count = self.shape.iter().try_fold(1_usize, |count, &size| count.checked_mul(size));
        let steps = self
            .shape
            .iter()
            .zip(&self.stride)
            .map(|(&size, &stride)| size.saturating_sub(1).checked_mul(stride));
        let last = steps.into_iter().try_fold(self.offset, |last, step| last.checked_add(step?));
        let inside = match (count, last) {
            (Some(0), _) => true,
            (Some(count), Some(last)) => count <= self.storage.count && last < self.storage.count,
            _ => false,
        };
        match count.filter(|_| inside && self.shape.len() == self.stride.len()) {
            Some(count) => Ok(count),
            None => {
                let Self { shape, stride, offset, storage } = self;
                let size = storage.count;
                Err(format!(
                    "of shape {shape:?}, stride {stride:?} and offset {offset} does not fit its storage of {size} elements"
                ))
            }
        }
    }
}
