use super::*;
use crate::data::{End, ReadOptions, Shard, Source};
use crate::tokenizer::Kind;

fn pieces(texts: &[&str]) -> Vec<Piece> {
    texts.iter().map(|text| Piece { text: text.to_string(), label: None, end: End::Line }).collect()
}

fn stream(texts: &[&str], tokenizer: &Tokenizer, small: usize) -> SplitTokens {
    SplitTokens::collect(pieces(texts).into_iter().map(Ok), tokenizer, small).unwrap()
}

fn words(texts: &[&str]) -> Tokenizer {
    let texts = texts.iter().map(|text| Ok(text.to_string()));
    Tokenizer::train(&Kind::Word, texts, None, false).unwrap()
}

fn all(stream: &SplitTokens) -> Vec<u32> {
    let mut ids = vec![0; stream.len() as usize];
    stream.read(0, &mut ids).unwrap();
    ids
}

#[test]
fn memory_and_file_give_the_same_tokens_at_any_place() {
    let texts: Vec<String> =
        (0..3000).map(|number| format!("word{} é zebra{number}\n", number % 7)).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let tokenizer = words(&texts[..2000]);
    let [memory, file] = [usize::MAX, 100].map(|small| stream(&texts, &tokenizer, small));
    assert!(matches!(memory.storage, Storage::Memory(_)) && matches!(file.storage, Storage::File(_)));
    assert_eq!(all(&memory), all(&file));
    let mut expected = Vec::new();
    for piece in pieces(&texts) {
        tokenizer.append_ended(&piece.text, piece.end, &mut expected).unwrap();
    }
    assert_eq!(all(&file), expected);
    let mut window = [0; 17];
    file.read(5000, &mut window).unwrap();
    assert_eq!(window, expected[5000..5017]);
    assert_eq!((file.len(), file.unknown().total()), (4 * 3000, 1000));
    assert_eq!(file.characters(), texts.iter().map(|text| text.chars().count() as u64).sum::<u64>());
}

#[test]
fn a_large_vocabulary_takes_four_bytes_a_token() {
    let texts: Vec<String> = (0..70_000).map(|number| format!("w{number}")).collect();
    let text = texts.join(" ");
    let tokenizer = words(&[&text]);
    let stream = stream(&[&text], &tokenizer, 100);
    assert_eq!(stream.width, Width::Four);
    assert_eq!(all(&stream).into_iter().max(), Some(70_001));
}

#[test]
fn reading_past_the_end_is_an_error() {
    let tokenizer = words(&["a b c"]);
    let stream = stream(&["a b c"], &tokenizer, 100);
    assert_eq!(stream.len(), 4);
    assert!(stream.read(0, &mut [0; 4]).is_ok());
    assert!(stream.read(4, &mut []).is_ok());
    assert!(stream.read(2, &mut [0; 3]).unwrap_err().to_string().contains("there are 4"));
    assert!(stream.read(u64::MAX, &mut [0; 3]).is_err());
}

#[test]
fn an_error_among_the_pieces_is_reported() {
    let tokenizer = words(&["a"]);
    let failing = [Err(Error::Message("broken line".into()))].into_iter();
    assert_eq!(SplitTokens::collect(failing, &tokenizer, 100).unwrap_err().to_string(), "broken line");
}

#[test]
fn a_full_temporary_folder_says_what_to_do() {
    let error = spool_error(&std::io::ErrorKind::StorageFull.into()).to_string();
    assert!(error.contains("has no room left") && error.contains("TMPDIR"), "{error}");
}

#[test]
fn byte_pairs_encode_the_same_in_parallel() {
    let text = "the cat saw the dog , 고양이가 개를 보았다\n";
    let texts = vec![text; 500];
    let tokenizer =
        Tokenizer::train(&Kind::Bpe(300), texts.iter().map(|text| Ok(text.to_string())), None, false)
            .unwrap();
    let stream = stream(&texts, &tokenizer, 100);
    assert_eq!(tokenizer.decode(&all(&stream)), texts.concat());
}

#[test]
fn parts_join_to_the_whole() {
    let line = |number: usize| {
        let rest = ["그리고 끝.", "don't stop; it's late", "\u{1112}\u{1161}\u{11AB}", ""][number % 4];
        format!("line {number}\tof {} 🏽 {rest}", "words ".repeat(number % 9))
    };
    let lines: Vec<String> = (0..400).map(line).collect();
    let long = format!("{}\n{}\nthe end", "a short line", "long words ".repeat(30_000));
    let records: String = lines.iter().map(|line| format!("\"{line}\"\n")).collect();
    let files = [
        ("lines.txt", lines.join("\n")),
        ("windows.txt", lines.join("\r\n")),
        ("macintosh.txt", lines.join("\r")),
        ("ended.txt", lines.join("\n") + "\n"),
        ("long.txt", long),
        ("records.csv", format!("text\n{records}")),
    ];
    let folder = tempfile::tempdir().unwrap();
    let mut corpora =
        vec![Corpus::open(&Source::Builtin(crate::data::Builtin::Reber), &ReadOptions::default(), 1)];
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
        corpora.push(Corpus::open(&Source::File(folder.path().join(name)), &ReadOptions::default(), 1));
    }
    for corpus in corpora {
        let corpus = corpus.unwrap();
        for kind in [Kind::Char, Kind::Word, Kind::Treebank, Kind::Bpe(300)] {
            let tokenizer =
                Tokenizer::train(&kind, corpus.texts(Split::Train).unwrap(), None, false).unwrap();
            for split in [Split::Train, Split::Valid, Split::All] {
                let whole = SplitTokens::encode(&corpus, split, &tokenizer).unwrap();
                for size in [2, 3, 7] {
                    let part = |rank| {
                        let pieces = corpus.part(split, Shard { rank, size }).unwrap();
                        SplitTokens::collect(pieces, &tokenizer, 100).unwrap()
                    };
                    let parts: Vec<SplitTokens> = (0..size).map(part).collect();
                    let joined: Vec<u32> = parts.iter().flat_map(all).collect();
                    assert!(joined == all(&whole), "{} {kind} {split} in {size} parts", corpus.name());
                    assert_eq!(parts.iter().map(SplitTokens::characters).sum::<u64>(), whole.characters());
                }
            }
        }
    }
}

#[test]
fn lines_are_divided_evenly() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.txt");
    std::fs::write(&path, "seven.\n".repeat(1000)).unwrap();
    let corpus = Corpus::open(&Source::File(path), &ReadOptions::default(), 1).unwrap();
    let lines = |rank| corpus.part(Split::All, Shard { rank, size: 3 }).unwrap().count();
    assert_eq!([0, 1, 2].map(lines), [334, 333, 333]);
}

/// Reports speed and peak memory on 200 MB of text; run with
/// `cargo test --release -- --ignored --nocapture two_hundred_megabytes`.
#[test]
#[ignore = "writes 200 MB and takes some seconds"]
fn two_hundred_megabytes_need_little_memory() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.txt");
    let mut file = BufWriter::new(File::create(&path).unwrap());
    let mut size = 0;
    for number in 0u64.. {
        let line = format!(
            "Line {number} of a long text, with 한글, é and {} in it.\n",
            number.wrapping_mul(0x9E37_79B9)
        );
        size += line.len();
        file.write_all(line.as_bytes()).unwrap();
        if size >= 200 << 20 {
            break;
        }
    }
    file.into_inner().unwrap();
    let corpus = Corpus::open(&Source::File(path), &ReadOptions::default(), 0).unwrap();
    let clock = std::time::Instant::now();
    let tokenizer = Tokenizer::train(&Kind::Char, corpus.texts(Split::Train).unwrap(), None, false).unwrap();
    let trained = clock.elapsed();
    let stream = SplitTokens::encode(&corpus, Split::Train, &tokenizer).unwrap();
    let encoded = clock.elapsed() - trained;
    eprintln!("{} tokens; vocabulary {trained:?}, encoding {encoded:?}", stream.len());
    // Only Linux tells without further libraries.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    if let Some(peak) = status.lines().find_map(|line| line.strip_prefix("VmHWM:")) {
        let kilobytes: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
        eprintln!("peak memory {} MiB", kilobytes / 1024);
        assert!(kilobytes < 200 << 10, "{kilobytes} kB");
    }
}
