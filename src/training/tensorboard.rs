//! Event files for TensorBoard: the metrics of `metrics.jsonl`, written at each report.
//!
//! A file is a row of records, each its length, the length's checksum, its data and the data's checksum
//! (`TFRecord`). The data is an `Event` of TensorFlow's protocol buffers, of which four fields are enough
//! here to be written by hand:
//!
//! ```text
//! Event       1 wall_time: double   2 step: int64   3 file_version: string   5 summary   7 session_log
//! Summary     1 value: repeated { 1 tag: string   2 simple_value: float }
//! SessionLog  1 status: START = 1
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::metric::MetricsLine;
use crate::tasks::figures::BITS;
use crate::{Error, Result};

/// The beginning of the names of event files; the seconds that follow put them in order.
const PREFIX: &str = "events.out.tfevents.";

/// Writes the figures of a run into a folder.
#[derive(Debug)]
pub struct EventWriter {
    path: PathBuf,
    file: File,
}

impl EventWriter {
    /// Create an event file in `folder`, for a run that continues after `step`; 0 is before the first. Files from
    /// before the run was resumed stay, and TensorBoard drops their events beyond that step.
    ///
    /// # Errors
    /// A folder that cannot be written to; and one with event files already, if the run is a new one and
    /// does not `replace` them.
    pub fn create(folder: &Path, step: usize, replace: bool) -> Result<Self> {
        let failed = |error| {
            Error::file(
                folder,
                format!("cannot hold event files: {error}; choose another option `tensorboard`"),
            )
        };
        fs::create_dir_all(folder).map_err(failed)?;
        let latest = latest(folder).map_err(failed)?;
        if latest.is_some() && step == 0 && !replace {
            let problem = "has the events of another run, and two in one folder cannot be told apart; choose \
                           another option `tensorboard`, or replace the run with option `force`";
            return Err(Error::file(folder, problem));
        }
        // Later than the existing files, whatever the clock says: TensorBoard orders files by name.
        let mut second = (now() as u64).max(latest.map_or(0, |latest| latest + 1));
        let (path, file) = loop {
            let path = folder.join(format!("{PREFIX}{second:010}.rnn-zoo"));
            match OpenOptions::new().append(true).create_new(true).open(&path) {
                Ok(file) => break (path, file),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => second += 1,
                Err(error) => return Err(failed(error)),
            }
        };
        let mut writer = Self { path, file };
        writer.event(0, &string(3, "brain.Event:2"))?;
        if latest.is_some() {
            // A session start at this step: TensorBoard drops earlier events from this step on.
            writer.event(step + 1, &message(7, &varint(1, 1)))?;
        }
        Ok(writer)
    }

    /// Add a report; TensorBoard shows it from then on.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn report(&mut self, metric: &MetricsLine) -> Result<()> {
        let split = &metric.split;
        let mut scalars = vec![(format!("{split}/loss"), metric.loss)];
        let figures = metric.figures.iter().filter(|(name, _)| *name != BITS);
        scalars.extend(figures.map(|(name, value)| (format!("{split}/{name}"), value)));
        if split == "train" {
            scalars.push(("lr".into(), metric.lr));
            scalars.push(("tokens_per_second".into(), metric.tokens_per_second));
        }
        let value =
            |(tag, value): (String, f64)| message(1, &[string(1, &tag), float(2, value as f32)].concat());
        let summary: Vec<u8> = scalars.into_iter().flat_map(value).collect();
        self.event(metric.step, &message(5, &summary))
    }

    /// Write an event whole: in one call, so that a reader sees no half of it.
    fn event(&mut self, step: usize, what: &[u8]) -> Result<()> {
        let mut event = double(1, now());
        event.extend(varint(2, step as u64));
        event.extend(what);
        let written = self.file.write_all(&record(&event));
        written.map_err(|error| {
            let advice =
                "free disk space or make the folder writable, or choose another option `tensorboard`";
            Error::file(&self.path, format!("cannot be written: {error}; {advice}"))
        })
    }
}

/// Return the second in the name of the latest event file of a folder.
fn latest(folder: &Path) -> std::io::Result<Option<u64>> {
    let mut latest = None;
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let Some(rest) = name.to_str().and_then(|name| name.strip_prefix(PREFIX)) else { continue };
        let second = rest.split('.').next().and_then(|second| second.parse().ok());
        // Numbers with more digits are not times.
        let second = second.filter(|second| *second < 10_000_000_000).unwrap_or(0);
        latest = latest.max(Some(second));
    }
    Ok(latest)
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0., |since| since.as_secs_f64())
}

fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    [&length[..], &masked_crc(&length).to_le_bytes(), data, &masked_crc(data).to_le_bytes()].concat()
}

/// Return the checksum of a record: rotated and shifted, because that of data with checksums in it is weak.
fn masked_crc(data: &[u8]) -> u32 {
    crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32C (Castagnoli), a byte at a time.
fn crc32c(data: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut byte = 0;
        while byte < 256 {
            let (mut remainder, mut bit) = (byte as u32, 0);
            while bit < 8 {
                remainder = if remainder & 1 == 1 { 0x82f6_3b78 ^ (remainder >> 1) } else { remainder >> 1 };
                bit += 1;
            }
            table[byte] = remainder;
            byte += 1;
        }
        table
    };
    !data.iter().fold(!0, |crc, byte| TABLE[usize::from(crc as u8 ^ byte)] ^ (crc >> 8))
}

/// Return the key of a field of a protocol buffer: its number and the form of its value.
fn key(field: u8, form: u8) -> u8 {
    field << 3 | form
}

fn digits(mut value: u64) -> Vec<u8> {
    let mut bytes = vec![];
    while value > 0x7f {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn varint(field: u8, value: u64) -> Vec<u8> {
    [vec![key(field, 0)], digits(value)].concat()
}

fn double(field: u8, value: f64) -> Vec<u8> {
    [&[key(field, 1)][..], &value.to_le_bytes()].concat()
}

fn message(field: u8, content: &[u8]) -> Vec<u8> {
    [&[key(field, 2)], digits(content.len() as u64).as_slice(), content].concat()
}

fn string(field: u8, text: &str) -> Vec<u8> {
    message(field, text.as_bytes())
}

fn float(field: u8, value: f32) -> Vec<u8> {
    [&[key(field, 5)][..], &value.to_le_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks::Figures;
    use crate::tasks::figures::{ACCURACY, PERPLEXITY};

    fn metric(split: &str, step: usize, loss: f64) -> MetricsLine {
        MetricsLine {
            step,
            epoch: 0,
            split: split.into(),
            loss,
            best: false,
            figures: match split {
                "valid" => Figures::default().with(PERPLEXITY, loss.exp()).with(ACCURACY, 0.5),
                _ => Figures::default().with(PERPLEXITY, loss.exp()),
            },
            lr: 0.25,
            tokens_per_second: 1000.,
            seconds: 1.,
        }
    }

    /// Return the checksum by its definition, a bit at a time: polynomial division over the field of two elements.
    fn slow_crc32c(data: &[u8]) -> u32 {
        let mut remainder = u32::MAX;
        for bit in data.iter().flat_map(|byte| (0..8).map(move |bit| byte >> bit & 1)) {
            let top = (remainder & 1) ^ u32::from(bit);
            remainder = (remainder >> 1) ^ (top * 0x1edc_6f41_u32.reverse_bits());
        }
        !remainder
    }

    /// Return the fields of a message: number, and the value as bytes or as a number.
    fn fields(mut bytes: &[u8]) -> Vec<(u8, u64, &[u8])> {
        fn number(bytes: &mut &[u8]) -> u64 {
            let end = bytes.iter().position(|byte| byte & 0x80 == 0).unwrap();
            let (number, rest) = bytes.split_at(end + 1);
            *bytes = rest;
            number.iter().rev().fold(0, |value, byte| value << 7 | u64::from(byte & 0x7f))
        }
        let mut fields = vec![];
        while !bytes.is_empty() {
            let key = number(&mut bytes) as u8;
            let length = match key & 7 {
                0 => {
                    fields.push((key >> 3, number(&mut bytes), &bytes[..0]));
                    continue;
                }
                1 => 8,
                5 => 4,
                2 => number(&mut bytes) as usize,
                other => panic!("form {other}"),
            };
            fields.push((key >> 3, 0, &bytes[..length]));
            bytes = &bytes[length..];
        }
        fields
    }

    /// Return the events that TensorBoard shows of a folder: files by name, without those that a restart voids.
    fn shown(folder: &Path) -> Vec<(u64, String, f32)> {
        let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        let mut shown: Vec<(u64, String, f32)> = vec![];
        for path in paths {
            let bytes = fs::read(path).unwrap();
            let mut rest = bytes.as_slice();
            let mut first = true;
            while !rest.is_empty() {
                let check = |data: &[u8], crc: &[u8]| {
                    let crc = u32::from_le_bytes(crc.try_into().unwrap()).wrapping_sub(0xa282_ead8);
                    assert_eq!(crc.rotate_left(15), slow_crc32c(data));
                };
                let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
                check(&rest[..8], &rest[8..12]);
                let data = &rest[12..12 + length];
                check(data, &rest[12 + length..16 + length]);
                rest = &rest[16 + length..];
                let event = fields(data);
                let step = event.iter().find(|field| field.0 == 2).unwrap().1;
                assert!(f64::from_le_bytes(event[0].2.try_into().unwrap()) > 1.6e9, "a time of this century");
                for (number, _, bytes) in &event {
                    match number {
                        1 | 2 => {}
                        3 => assert!(first && *bytes == b"brain.Event:2"),
                        5 => {
                            for (_, _, value) in fields(bytes) {
                                let value = fields(value);
                                let tag = String::from_utf8(value[0].2.to_vec()).unwrap();
                                shown.push((step, tag, f32::from_le_bytes(value[1].2.try_into().unwrap())));
                            }
                        }
                        7 => {
                            assert_eq!(fields(bytes), [(1, 1, &b""[..])]);
                            shown.retain(|(old, ..)| *old < step);
                        }
                        other => panic!("field {other}"),
                    }
                }
                first = false;
            }
        }
        shown
    }

    #[test]
    fn the_checksum_is_castagnolis() {
        // The check value of the catalogues.
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        let bytes: Vec<u8> = (0..=255).cycle().take(1000).collect();
        assert_eq!(crc32c(&bytes), slow_crc32c(&bytes));
    }

    #[test]
    fn another_reader_finds_what_was_reported() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("a/b");
        let mut writer = EventWriter::create(&folder, 0, false).unwrap();
        writer.report(&metric("train", 300, 2.5)).unwrap();
        writer.report(&metric("valid", 70_000, 1.5)).unwrap();
        writer
            .report(&MetricsLine {
                figures: Figures::default().with(ACCURACY, 0.5),
                ..metric("valid", 70_001, 0.5)
            })
            .unwrap();
        let found = shown(&folder);
        let found: Vec<_> = found.iter().map(|(step, tag, value)| (*step, tag.as_str(), *value)).collect();
        let expected = [
            (300, "train/loss", 2.5),
            (300, "train/perplexity", 2.5f64.exp() as f32),
            (300, "lr", 0.25),
            (300, "tokens_per_second", 1000.),
            (70_000, "valid/loss", 1.5),
            (70_000, "valid/perplexity", 1.5f64.exp() as f32),
            (70_000, "valid/accuracy", 0.5),
            (70_001, "valid/loss", 0.5),
            (70_001, "valid/accuracy", 0.5),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_resumed_run_shows_every_step_once() {
        let dir = tempfile::tempdir().unwrap();
        let losses = |folder: &Path| -> Vec<(u64, f32)> {
            shown(folder)
                .into_iter()
                .filter(|(_, tag, _)| tag == "train/loss")
                .map(|(s, _, v)| (s, v))
                .collect()
        };
        let mut writer = EventWriter::create(dir.path(), 0, false).unwrap();
        for step in 1..=5 {
            writer.report(&metric("train", step, 1.)).unwrap();
        }
        // Killed after step 5, with a checkpoint of step 3; and once more at once.
        for loss in [2., 3.] {
            let mut writer = EventWriter::create(dir.path(), 3, false).unwrap();
            writer.report(&metric("train", 4, loss)).unwrap();
        }
        assert_eq!(losses(dir.path()), [(1, 1.), (2, 1.), (3, 1.), (4, 3.)]);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
        let error = EventWriter::create(dir.path(), 0, false).unwrap_err().to_string();
        assert!(error.contains("another run") && error.contains("option `force`"), "{error}");
        let mut writer = EventWriter::create(dir.path(), 0, true).unwrap();
        writer.report(&metric("train", 1, 4.)).unwrap();
        assert_eq!(losses(dir.path()), [(1, 4.)]);
    }

    #[test]
    fn a_foreign_file_of_no_time_does_no_harm() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(format!("{PREFIX}{}.rnn-zoo", u64::MAX)), "").unwrap();
        let error = EventWriter::create(dir.path(), 0, false).unwrap_err().to_string();
        assert!(error.contains("another run"), "{error}");
        let writer = EventWriter::create(dir.path(), 0, true).unwrap();
        let name = writer.path.file_name().unwrap().to_str().unwrap();
        let second: f64 = name[PREFIX.len()..].split('.').next().unwrap().parse().unwrap();
        assert!((now() - second).abs() < 60., "{name} is of now");
    }

    #[test]
    fn a_folder_that_cannot_be_one_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = EventWriter::create(file.path(), 0, false).unwrap_err().to_string();
        assert!(
            error.starts_with(&file.path().display().to_string()) && error.contains("option `tensorboard`"),
            "{error}"
        );
    }
}
