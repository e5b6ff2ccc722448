//! The containers of PyTorch's pickles and of the storages beside them.
//!
//! | container | content |
//! |---|---|
//! | zip, PyTorch 1.6 and later | `NAME/data.pkl`, the storages `NAME/data/KEY`, not compressed |
//! | legacy | pickles of a magic number, a version, the system, the object and the keys; then each storage after its size |

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use zip::ZipArchive;

use super::object::{Object, Pickle, Storage};
use super::unpickle::unpickle;
use crate::formats::stored_zip::{self, ZIP};

/// The first bytes of a legacy file: a pickle of protocol 2 with the magic number, of ten bytes.
pub(super) const LEGACY: &[u8] = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.";

/// The name of the pickle in a zip archive, after the name of the archive.
const PICKLE: &str = "data.pkl";

/// A record of a TorchScript archive, which is a program.
const SCRIPT: &str = "constants.pkl";

/// A PyTorch file whose pickle has been read.
pub(super) struct TorchFile {
    pub(super) pickle: Pickle,
    storages: Storages,
}

enum Storages {
    /// The archive, and what comes before `data/KEY`.
    Zip(ZipArchive<File>, String),
    /// The place of each storage's bytes in the file.
    Legacy(BufReader<File>, HashMap<String, ByteRange>),
}

#[derive(Clone, Copy)]
struct ByteRange {
    offset: u64,
    count: usize,
}

/// Whether a zip archive is a file of PyTorch.
pub(super) fn is_torch_archive(path: &Path) -> bool {
    let Ok(Ok(archive)) = File::open(path).map(archive) else { return false };
    pickle_name(&archive).is_some()
}

impl TorchFile {
    /// Read the pickle of a file. The error is the problem alone.
    ///
    /// # Errors
    /// If it is cut short or malformed, or its pickle calls a function.
    pub(super) fn open(mut file: File) -> Result<Self, String> {
        let mut head = [0; ZIP.len()];
        file.read_exact(&mut head).and_then(|()| file.rewind()).map_err(|error| unreadable(&error))?;
        match head == ZIP {
            true => Self::zip(archive(file)?),
            false => Self::legacy(BufReader::new(file)),
        }
    }

    fn zip(mut archive: ZipArchive<File>) -> Result<Self, String> {
        let name = pickle_name(&archive).ok_or_else(|| format!("has no record {PICKLE}"))?;
        let folder = name.strip_suffix(PICKLE).unwrap_or_default().to_string();
        if archive.index_for_name(&format!("{folder}{SCRIPT}")).is_some() {
            let problem = "is a TorchScript archive, which is a program; save the tensors alone: \
                           torch.save(model.state_dict(), FILE)";
            return Err(problem.to_string());
        }
        let order = format!("{folder}byteorder");
        if archive.index_for_name(&order).is_some() {
            let mut text = vec![];
            record(&mut archive, &order)?
                .take(16)
                .read_to_end(&mut text)
                .map_err(|error| unreadable(&error))?;
            if text == b"big" {
                return Err(big_endian());
            }
        }
        let pickle = unpickle(BufReader::new(record(&mut archive, &name)?))?;
        Ok(Self { pickle, storages: Storages::Zip(archive, folder) })
    }

    fn legacy(mut reader: BufReader<File>) -> Result<Self, String> {
        let _magic = unpickle(&mut reader)?;
        let _version = unpickle(&mut reader)?;
        let system = unpickle(&mut reader)?;
        if let Some(Object::Bool(false)) = system.named("little_endian") {
            return Err(big_endian());
        }
        let pickle = unpickle(&mut reader)?;
        let keys = unpickle(&mut reader)?;
        let places = places(&mut reader, &keys, &element_sizes(&pickle))?;
        Ok(Self { pickle, storages: Storages::Legacy(reader, places) })
    }

    /// Read the bytes of a storage.
    ///
    /// # Errors
    /// If it is missing or has another size than its description in the pickle.
    pub(super) fn bytes(&mut self, storage: &Storage) -> Result<Vec<u8>, String> {
        let Storage { key, element, count } = storage;
        let size = element.size().and_then(|size| size.checked_mul(*count)).unwrap_or(usize::MAX);
        let mut bytes = vec![];
        match &mut self.storages {
            Storages::Zip(archive, folder) => {
                let record = record(archive, &format!("{folder}data/{key}"))?;
                // One byte more shows that the record is longer.
                let limit = (size as u64).saturating_add(1);
                record.take(limit).read_to_end(&mut bytes).map_err(|error| unreadable(&error))?;
            }
            Storages::Legacy(reader, places) => {
                let place = places.get(&**key).filter(|place| place.count == *count);
                let place = place.ok_or_else(|| format!("has no storage {key} of {count} elements"))?;
                reader.seek(SeekFrom::Start(place.offset)).map_err(|error| unreadable(&error))?;
                reader.take(size as u64).read_to_end(&mut bytes).map_err(|error| unreadable(&error))?;
            }
        }
        match bytes.len() {
            found if found == size => Ok(bytes),
            found if found > size => Err(format!(
                "has a storage {key} of more than {size} bytes; its pickle says {count} elements"
            )),
            found => Err(format!(
                "has {found} bytes in storage {key}; its pickle says {size}; copy the file again"
            )),
        }
    }
}

impl Pickle {
    /// Return an entry of the dictionary that is the whole pickle.
    fn named(&self, name: &str) -> Option<&Object> {
        let Object::Dict(entries) = &self.objects[self.root] else { return None };
        let is_named = |&&(key, _): &&(usize, usize)| matches!(&self.objects[key], Object::Text(text) if **text == *name);
        entries.iter().find(is_named).map(|&(_, value)| &self.objects[value])
    }
}

/// Return the directory of an archive.
fn archive(file: File) -> Result<ZipArchive<File>, String> {
    stored_zip::archive(file, "torch.save")
}

/// Return the name of the record with the pickle: the one in the folder that all records are in.
fn pickle_name(archive: &ZipArchive<File>) -> Option<String> {
    let named = |name: &str| {
        name.strip_suffix(PICKLE).is_some_and(|folder| folder.is_empty() || folder.ends_with('/'))
    };
    archive.file_names().filter_map(Result::ok).find(|name| named(name)).map(std::borrow::Cow::into_owned)
}

/// Open a record.
fn record<'a>(archive: &'a mut ZipArchive<File>, name: &str) -> Result<impl Read + use<'a>, String> {
    stored_zip::record(archive, name, "torch.save")
}

/// Return the size of each storage's elements, by key.
fn element_sizes(pickle: &Pickle) -> HashMap<&str, Option<usize>> {
    let storages = pickle.objects.iter().filter_map(|object| match object {
        Object::Storage(Storage { key, element, .. }) => Some((&**key, element.size())),
        _ => None,
    });
    storages.collect()
}

/// Find the storages at the end of a legacy file: each is its number of elements, then the elements.
fn places(
    reader: &mut BufReader<File>,
    keys: &Pickle,
    sizes: &HashMap<&str, Option<usize>>,
) -> Result<HashMap<String, ByteRange>, String> {
    let Object::List(list) = &keys.objects[keys.root] else {
        return Err("has no list of its storages".to_string());
    };
    let mut places = HashMap::new();
    for &key in list {
        let Object::Text(key) = &keys.objects[key] else {
            return Err("has a storage without a name".to_string());
        };
        let Some(&Some(size)) = sizes.get(&**key) else {
            return Err(format!("has the storage {key}, of unknown elements"));
        };
        let mut count = [0; 8];
        reader.read_exact(&mut count).map_err(|error| unreadable(&error))?;
        let count = u64::from_le_bytes(count);
        let offset = reader.stream_position().map_err(|error| unreadable(&error))?;
        // Beyond any file, so that reading finds its end.
        let bytes = count.checked_mul(size as u64).and_then(|bytes| i64::try_from(bytes).ok());
        let bytes = bytes
            .ok_or_else(|| format!("has {count} elements in storage {key}, more than any file holds"))?;
        reader.seek_relative(bytes).map_err(|error| unreadable(&error))?;
        let place = ByteRange { offset, count: usize::try_from(count).unwrap_or(usize::MAX) };
        if places.insert(key.to_string(), place).is_some() {
            return Err(format!("has two storages of the name {key}"));
        }
    }
    Ok(places)
}

fn unreadable(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof => "is cut short; copy it again".to_string(),
        _ => format!("cannot be read: {error}"),
    }
}

fn big_endian() -> String {
    "has big-endian numbers; expected little-endian ones, which almost all machines write".to_string()
}
