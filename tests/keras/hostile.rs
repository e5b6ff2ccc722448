//! Files that are damaged, or made to harm the program that reads them.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use rand::RngExt;
use rnn_zoo::formats::{ImportOptions, recognised};
use rnn_zoo::rng::{Purpose, stream};

use super::{Folder, golden};

/// One file of each container, and the names of its outputs; a language model has none.
const FILES: [(&str, Option<&str>); 4] = [
    ("lstm-2-one-direction-none.keras", None),
    ("lstm-2-both-directions-bias.h5", Some("5.txt")),
    ("gru-after-2-one-direction-none.weights.h5", None),
    ("old-gru.h5", Some("5.txt")),
];

/// Reads files of given bytes.
struct Reader {
    folder: Folder,
    options: ImportOptions,
}

impl Reader {
    fn new(labels: Option<&str>) -> Self {
        let folder = Folder::new();
        let options = ImportOptions {
            vocabulary: Some(folder.path("words.txt")),
            labels: labels.map(|name| folder.path(name)),
            ..ImportOptions::default()
        };
        Self { folder, options }
    }

    fn file(&self, bytes: &[u8]) -> PathBuf {
        let path = self.folder.path("file");
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// Read a file; return the error, which is one line.
    fn problem(&self, bytes: &[u8]) -> Option<String> {
        let path = self.file(bytes);
        let error =
            recognised(&path).and_then(|format| format.import(&path, &self.options)).err()?.to_string();
        assert!(error.lines().count() == 1 && error.len() < 1000, "{error}");
        Some(error)
    }

    /// As [`Reader::problem`], for a whole conversion, which looks at values too.
    fn refused(&self, bytes: &[u8], expected: &str) {
        let error = self.folder.convert(&self.file(bytes), "bundle", &self.options).unwrap_err().to_string();
        assert!(error.contains(expected) && error.lines().count() == 1, "expected {expected}: {error}");
        assert!(!self.folder.path("bundle").exists());
    }
}

/// Replace the first occurrence of some bytes.
fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let at = bytes.windows(from.len()).position(|part| part == from).expect("the file has these bytes");
    [&bytes[..at], to, &bytes[at + from.len()..]].concat()
}

#[test]
fn files_that_are_cut_short_or_changed_are_one_line_and_never_panic() {
    let mut rng = stream(1, Purpose::Parameters, 0);
    for (file, labels) in FILES {
        let reader = Reader::new(labels);
        let whole = std::fs::read(golden(file)).unwrap();
        assert_eq!(reader.problem(&whole), None, "{file}");
        for length in (0..whole.len()).step_by(97) {
            assert!(reader.problem(&whole[..length]).is_some(), "{file}, the first {length} bytes");
        }
        for _ in 0..400 {
            let mut bytes = whole.clone();
            for _ in 0..rng.random_range(1..4) {
                let place = rng.random_range(0..bytes.len());
                bytes[place] = rng.random();
            }
            reader.problem(&bytes);
        }
    }
}

#[test]
fn files_that_are_made_to_take_memory_or_time_are_refused_at_once() {
    let reader = Reader::new(None);
    for (file, expected) in [
        ("cyclic.weights.h5", "has no readable array layers/embedding/vars/0"),
        ("huge.weights.h5", "has 10472 bytes, but its arrays up to layers/embedding/vars/0 need 17179869184"),
        ("bomb.weights.h5", "has 80400 bytes, but its arrays up to layers/embedding/vars/0 need 67108864"),
        ("shared.weights.h5", "its parts refer to each other too often"),
    ] {
        let bytes = std::fs::read(golden("hostile").join(file)).unwrap();
        let start = Instant::now();
        let error = reader.problem(&bytes).expect("the file is refused");
        assert!(error.contains(expected), "{file}: {error}");
        assert!(start.elapsed() < Duration::from_secs(10), "{file}");
    }
}

#[test]
fn lengths_of_gigabytes_and_values_that_are_not_finite_are_refused() {
    let reader = Reader::new(None);
    let whole = std::fs::read(golden("gru-after-2-one-direction-none.weights.h5")).unwrap();
    let sizes = |rows: u64, columns: u64| [rows.to_le_bytes(), columns.to_le_bytes()].concat();
    // The embedding has 11 rows of 4 columns.
    for (rows, columns, expected) in [
        (1 << 30, 4, "need 17179869184; it is cut short or damaged"),
        (u64::MAX, 4, "has a length of 18446744073709551615 in the array"),
        (4, 4, "has a damaged array layers/embedding/vars/0"),
    ] {
        let error = reader.problem(&replaced(&whole, &sizes(11, 4), &sizes(rows, columns))).unwrap();
        assert!(error.contains(expected), "{expected}: {error}");
    }
    let file = golden("gru-after-1-one-direction-bias.keras");
    let whole = std::fs::read(file).unwrap();
    let parameters: Vec<super::Case<super::FileOptions>> = super::load("keras_files").unwrap();
    let case = parameters.iter().find(|case| case.name == "gru-after-1-one-direction-bias").unwrap();
    let embedding =
        case.kinds["parameter"]["encoder.weight"].flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let start = [embedding[0].to_le_bytes(), embedding[1].to_le_bytes()].concat();
    let broken = [f32::NAN.to_le_bytes(), embedding[1].to_le_bytes()].concat();
    let changed = replaced(&whole, &start, &broken);
    // The checksum of the record in the archive is wrong now.
    reader.refused(&changed, "has a damaged record model.weights.h5");
    let whole = std::fs::read(golden("gru-after-2-one-direction-bias.h5")).unwrap();
    let case = parameters.iter().find(|case| case.name == "gru-after-2-one-direction-bias").unwrap();
    let bias = case.kinds["parameter"]["decoder.bias"].to_vec1::<f32>().unwrap();
    reader.refused(
        &replaced(&whole, &bias[0].to_le_bytes(), &f32::INFINITY.to_le_bytes()),
        "holds NaN or infinity",
    );
}

#[test]
fn compressed_records_and_missing_parts_are_refused() {
    let reader = Reader::new(None);
    let whole = std::fs::read(golden(FILES[0].0)).unwrap();
    let mut compressed = whole.clone();
    for (signature, method) in [(b"PK\x03\x04", 8), (b"PK\x01\x02", 10)] {
        let places: Vec<usize> =
            (0..whole.len() - 4).filter(|&at| whole[at..].starts_with(signature)).collect();
        places.into_iter().for_each(|at| compressed[at + method] = 8);
    }
    reader.refused(&compressed, "has a compressed record config.json");
    // Names of the same length, so that nothing else moves.
    let renamed = |from: &str, to: &str| {
        let whole = std::fs::read(golden(FILES[1].0)).unwrap();
        replaced(&whole, from.as_bytes(), to.as_bytes())
    };
    reader.refused(&renamed("model_weights", "m0del_weights"), "has no group of layers");
    reader.refused(&renamed("model_config", "m0del_config"), "has weights without the model's configuration");
    reader.refused(
        &renamed("\"class_name\": \"Sequential\"", "\"class_name\": \"Sequentia1\""),
        "of the class Sequentia1",
    );
    reader.refused(b"\x89HDF\r\n\x1a\n", "is cut short or not HDF5");
    let empty = {
        let mut file = hdf5_pure::FileBuilder::new();
        let layers = file.create_group("layers").finish();
        file.add_group(layers);
        file.finish().unwrap()
    };
    reader.refused(&empty, "has no recurrent layer");
    let integers = {
        let mut file = hdf5_pure::FileBuilder::new();
        let mut vars = file.create_group("layers");
        let mut embedding = vars.create_group("embedding");
        let mut inner = embedding.create_group("vars");
        inner.create_dataset("0").with_i32_data(&[1, 2, 3, 4]).with_shape(&[2, 2]);
        embedding.add_group(inner.finish());
        vars.add_group(embedding.finish());
        for (name, folders) in [("lstm", vec!["cell"]), ("dense", vec![])] {
            let mut group = vars.create_group(name);
            let mut arrays = hdf5_pure::FileBuilder::new().create_group("vars");
            arrays.create_dataset("0").with_f32_data(&[0.; 8]).with_shape(&[2, 4]);
            if name == "lstm" {
                arrays.create_dataset("1").with_f32_data(&[0.; 4]).with_shape(&[1, 4]);
            }
            match folders.first() {
                Some(folder) => {
                    let mut cell = group.create_group(folder);
                    cell.add_group(arrays.finish());
                    group.add_group(cell.finish());
                }
                None => group.add_group(arrays.finish()),
            };
            vars.add_group(group.finish());
        }
        file.add_group(vars.finish());
        file.finish().unwrap()
    };
    reader.refused(&integers, "has an array layers/embedding/vars/0 of i32; expected floats");
}
