//! Files that are damaged, or made to harm the program that reads them.

use std::path::Path;

use rand::RngExt;
use rnn_zoo::formats::recognised;
use rnn_zoo::rng::{Purpose, stream};

use super::{Folder, golden};

/// One file of each container.
const FILES: [&str; 5] = [
    "simple_rnn-1-one-direction-bias.pt",  // a state dict
    "simple_rnn-1-one-direction-none.pth", // the same in the legacy format
    "lstm-1-one-direction-bias.bin",       // a checkpoint
    "projected-1-one-direction-none.pth",  // a module in the legacy format
    "lstm-2-one-direction-bias.safetensors",
];

/// Reads files of given bytes.
struct Reader {
    folder: Folder,
    options: rnn_zoo::formats::ImportOptions,
}

impl Reader {
    fn new() -> Self {
        let folder = Folder::new();
        let options = rnn_zoo::formats::ImportOptions {
            vocabulary: Some(folder.path("words.txt")),
            ..rnn_zoo::formats::ImportOptions::default()
        };
        Self { folder, options }
    }

    /// Convert a file; return the error, which is one line.
    fn problem(&self, bytes: &[u8]) -> Option<String> {
        let path = self.folder.path("file");
        std::fs::write(&path, bytes).unwrap();
        let error =
            recognised(&path).and_then(|format| format.import(&path, &self.options)).err()?.to_string();
        assert!(error.lines().count() == 1 && error.len() < 1000, "{error}");
        Some(error)
    }

    /// As [`Reader::problem`], for a whole conversion, which looks at values too.
    fn refused(&self, bytes: &[u8], expected: &str) {
        let path = self.folder.path("file");
        std::fs::write(&path, bytes).unwrap();
        let error = self.folder.convert(&path, "bundle", &self.options).unwrap_err().to_string();
        assert!(error.contains(expected) && error.lines().count() == 1, "expected {expected}: {error}");
        assert!(!self.folder.path("bundle").exists());
    }
}

/// A file of the legacy format whose object is the pickle `object`, without storages.
fn legacy(object: &[u8]) -> Vec<u8> {
    let magic: &[u8] = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.";
    let (version, system, keys): (&[u8], &[u8], &[u8]) =
        (b"\x80\x02M\xe9\x03.", b"\x80\x02}.", b"\x80\x02].");
    [magic, version, system, object, keys].concat()
}

/// A pickle of a dictionary with the tensors that `entries` makes.
fn dictionary(entries: &[&[u8]]) -> Vec<u8> {
    [b"\x80\x02}(", &entries.concat()[..], b"u."].concat()
}

/// The entry of a tensor of one dimension in a storage of `count` elements.
fn entry(name: u8, count: u32, length: u32) -> Vec<u8> {
    let storage = [
        &b"((X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuJ"[..],
        &count.to_le_bytes(),
        b"tQ",
    ]
    .concat();
    let view = [&b"K\0J"[..], &length.to_le_bytes(), b"\x85K\x01\x85\x89}tR"].concat();
    [&[b'X', 1, 0, 0, 0, name][..], b"ctorch._utils\n_rebuild_tensor_v2\n", &storage, &view].concat()
}

#[test]
fn files_that_are_cut_short_or_changed_are_one_line_and_never_panic() {
    let reader = Reader::new();
    let mut rng = stream(1, Purpose::Parameters, 0);
    for file in FILES {
        let whole = std::fs::read(golden(file)).unwrap();
        assert_eq!(reader.problem(&whole), None, "{file}");
        for length in (0..whole.len()).step_by(5) {
            assert!(reader.problem(&whole[..length]).is_some(), "{file}, the first {length} bytes");
        }
        for _ in 0..1000 {
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
fn calls_of_pickles_are_refused_by_name() {
    let reader = Reader::new();
    for (object, name) in [
        (&b"\x80\x02cposix\nsystem\nX\x02\0\0\0ls\x85R."[..], "posix.system"),
        (b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93\x8c\x011\x85R.", "builtins.eval"),
        (b"(ios\nsystem\n.", "os.system"),
        (b"\x80\x02ctorch.storage\n_load_from_bytes\nX\0\0\0\0\x85R.", "torch.storage._load_from_bytes"),
    ] {
        let error = reader.problem(&legacy(object)).unwrap();
        let expected = format!("calls {name:?} when it is loaded, which is not done here");
        assert!(error.contains(&expected), "{error}");
    }
    // An object of any class is data, and no state dict.
    let error = reader.problem(&legacy(b"\x80\x02csubprocess\nPopen\n)\x81.")).unwrap();
    assert!(error.contains("holds no state dict"), "{error}");
}

#[test]
fn pickles_with_huge_lengths_and_counts_take_bounded_memory() {
    let reader = Reader::new();
    let nested = [&b"\x80\x02"[..], &b"](".repeat(400_000)].concat();
    // A storage of four elements that are those of a part of another.
    let part = entry(b'a', 4, 4);
    let end = part.windows(2).position(|bytes| bytes == b"tQ").unwrap();
    let part_of_storage = [&part[..end], b"(X\x01\0\0\0vK\x01K\x04t", &part[end..]].concat();
    let circle = b"\x80\x02}q\0X\x05\0\0\0modelh\0s."; // a dictionary that contains itself
    for (object, problem) in [
        (&b"\x80\x02X\xff\xff\xff\xff"[..], "has a text of 4294967295 bytes in its pickle"),
        (b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\xff", "has a text of 18446744073709551615 bytes"),
        (b"\x80\x02X\x00\x00\x10\x00abc", "is cut short or not a PyTorch file"),
        (b"\x80\x09.", "has a pickle of protocol 9; expected at most 5"),
        (b"\x80\x02R", "has a malformed pickle"),
        (b"\x80\x02P", "has the operation 0x50 in its pickle"),
        (&[&b"\x80\x02"[..], &b"N".repeat(600_000)].concat(), "has more than 524288 objects"),
        (&[&b"\x80\x02N"[..], &b"2".repeat(600_000)].concat(), "has more than 524288 objects"),
        (&b"(".repeat(600_000), "has more than 524288 objects"),
        (&nested, "is cut short"),
        (circle, "holds no state dict but model"),
        (&dictionary(&[&entry(b'a', 4, 4), &entry(b'a', 4, 4)]), "has two tensors of the name a"),
        (&dictionary(&[&entry(b'a', 4, 5)]), "tensor a of shape [5], stride [1] and offset 0 does not fit"),
        (&dictionary(&[&entry(b'a', 4, 4), &entry(b'b', 4, 3)]), "has tensors that overlap"),
        (&dictionary(&[&entry(b'a', 1 << 30, 1 << 30)]), "bytes, but its tensors need 4294967296"),
        (&dictionary(&[&entry(b'a', 4, 4)]), "has no storage 0 of 4 elements"),
        (&dictionary(&[&part_of_storage]), "has a storage that is a part of another"),
    ] {
        let error = reader.problem(&legacy(object)).unwrap();
        assert!(error.contains(problem), "expected {problem}: {error}");
    }
}

#[test]
fn embeddings_that_scale_their_rows_are_refused() {
    let reader = Reader::new();
    let whole = std::fs::read(golden(FILES[3])).unwrap();
    let find = |from: usize, part: &[u8]| {
        from + whole[from..].windows(part.len()).position(|bytes| bytes == part).unwrap()
    };
    // `max_norm`, which is None, becomes 1.
    let none = find(find(0, b"max_norm"), b"N");
    let changed = [&whole[..none], b"K\x01", &whole[none + 1..]].concat();
    let error = reader.problem(&changed).unwrap();
    assert!(error.contains("with max_norm, which scales its rows"), "{error}");
}

#[test]
fn compressed_records_and_values_that_are_not_finite_are_refused() {
    let reader = Reader::new();
    let mut archive = std::fs::read(golden(FILES[0])).unwrap();
    for (signature, method) in [(b"PK\x03\x04", 8), (b"PK\x01\x02", 10)] {
        let places: Vec<usize> =
            (0..archive.len() - 4).filter(|&at| archive[at..].starts_with(signature)).collect();
        places.into_iter().for_each(|at| archive[at + method] = 8);
    }
    reader.refused(&archive, "has a compressed record");
    let mut tensors = std::fs::read(golden(FILES[4])).unwrap();
    let end = tensors.len();
    tensors[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    reader.refused(&tensors, "holds NaN or infinity");
    reader.refused(b"", "is empty");
    reader.refused(b"import torch\n", "is none of the formats that are read");
    // A brace in the ninth byte after a size that no header has, as of an ONNX graph.
    reader.refused(b"\x08\x08\x3a\xff\xff\xff\xff\x0f{", "not an ONNX file");
    assert!(recognised(Path::new("tests/golden")).unwrap_err().to_string().contains("is a folder"));
}
