//! Metrics and readers on the corpora that published figures are measured on. The corpora are no part of the
//! repository.

use std::path::PathBuf;

use rnn_zoo::data::column_corpus;
use rnn_zoo::data::column_file::{ColumnOptions, Sentence};
use rnn_zoo::data::parallel_text::{self, Languages, TextPair};
use rnn_zoo::data::{Source, Split};
use rnn_zoo::tasks::bleu::BleuCounts;
use rnn_zoo::tasks::chrf::ChrfCounts;
use rnn_zoo::tasks::series_scores::{SeriesScores, naive, seasonal_naive, seasonal_scale};
use rnn_zoo::tasks::spans::{SpanScores, are_spans};
use serde_json::Value;

/// The folder of a corpus; `None`, with a message, if it is not there.
fn corpus(name: &str) -> Option<PathBuf> {
    let corpora = std::env::var("RNN_ZOO_DATA").expect("RNN_ZOO_DATA names the folder of the corpora");
    let folder = PathBuf::from(corpora).join(name);
    if !folder.exists() {
        eprintln!("skipped: no {}", folder.display());
        return None;
    }
    Some(folder)
}

/// The rows of a table of M4: the name of a series, then its values without the empty cells at the end.
fn series(path: PathBuf) -> Vec<(String, Vec<f64>)> {
    let text = std::fs::read_to_string(path).unwrap();
    let row = |line: &str| {
        let mut cells = line.split(',').map(|cell| cell.trim_matches('"'));
        let name = cells.next().unwrap().to_string();
        (name, cells.filter(|cell| !cell.is_empty()).map(|cell| cell.parse().unwrap()).collect())
    };
    text.lines().skip(1).map(row).collect()
}

#[test]
#[ignore = "reads corpora from RNN_ZOO_DATA"]
fn scores_on_corpora_of_naive_forecasts_are_those_of_m4() {
    let Some(folder) = corpus("m4") else { return };
    // Seasonal naive for hourly, naive for weekly series: sMAPE and MASE as the competition has them.
    for (name, season, count, horizon, expected) in
        [("hourly", 24, 414, 48, ["13.912", "1.193"]), ("weekly", 1, 359, 13, ["9.161", "2.777"])]
    {
        let [train, test] = ["train", "test"].map(|split| series(folder.join(format!("{name}-{split}.csv"))));
        assert_eq!([train.len(), test.len()], [count; 2]);
        let mut scores = SeriesScores::default();
        for ((history_name, history), (values_name, values)) in train.iter().zip(&test) {
            assert_eq!((history_name, values.len()), (values_name, horizon));
            let forecast = seasonal_naive(history, season, horizon);
            if season == 1 {
                assert_eq!(forecast, naive(history, horizon));
            }
            scores.add(values, &forecast, seasonal_scale(history, season));
        }
        let found = [scores.smape(), scores.mase()].map(|score| format!("{:.3}", score.unwrap()));
        assert_eq!((found, scores.unscaled_forecasts()), (expected.map(String::from), 0), "{name}");
    }
}

#[test]
#[ignore = "reads corpora from RNN_ZOO_DATA"]
fn scores_on_corpora_of_changed_translations_are_those_of_sacrebleu() {
    let Some(folder) = corpus("multi30k") else { return };
    let golden: Value = serde_json::from_str(include_str!("golden/translation_scores.json")).unwrap();
    let golden = golden["multi30k"].as_object().unwrap();
    assert_eq!(golden.len(), 4);
    for (name, expected) in golden {
        let (file, rule) = name.split_once(' ').unwrap();
        let text = std::fs::read_to_string(folder.join(file)).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let pairs: Vec<(String, &str)> = match rule {
            "thinned" => {
                lines.iter().enumerate().map(|(number, line)| (thinned(number, line), *line)).collect()
            }
            _ => lines.windows(2).map(|pair| (pair[0].to_string(), pair[1])).collect(),
        };
        let bleu: BleuCounts = pairs.iter().map(|(line, reference)| BleuCounts::new(line, reference)).sum();
        let chrf: ChrfCounts = pairs.iter().map(|(line, reference)| ChrfCounts::new(line, reference)).sum();
        for (found, expected) in [bleu.score(), chrf.score()].into_iter().zip(expected.as_array().unwrap()) {
            let expected = expected.as_f64().unwrap();
            assert!((found - expected).abs() < 1e-9, "{name}: {found} is not {expected}");
        }
    }
}

/// A line without each fifth word, as in `scripts/golden/translation_scores.py`.
fn thinned(number: usize, line: &str) -> String {
    let words = line.split(' ').enumerate().filter(|(at, _)| !(number + at).is_multiple_of(5));
    words.map(|(_, word)| word).collect::<Vec<_>>().join(" ")
}

#[test]
#[ignore = "reads corpora from RNN_ZOO_DATA"]
fn scores_on_corpora_read_every_sentence_of_conll_2000() {
    let Some(folder) = corpus("conll2000") else { return };
    let options = ColumnOptions { features: vec!["1".parse().unwrap()], ..ColumnOptions::default() };
    let data = column_corpus::open(&Source::Directory(folder), &options).unwrap();
    let mut scores = SpanScores::default();
    let mut count = |split| {
        let sentences = data.items(split).unwrap().map(Result::unwrap);
        let check = |sentence: Sentence| {
            assert_eq!([sentence.words.len(), sentence.features[0].len()], [sentence.tags.len(); 2]);
            assert!(are_spans(&sentence.tags) || sentence.tags.iter().all(|tag| tag == "O"));
            if split == Split::Test {
                scores.add(&sentence.tags, &sentence.tags);
            }
        };
        sentences.map(check).count()
    };
    // 8,936 sentences, of which a tenth is held out.
    assert_eq!([Split::Train, Split::Valid, Split::Test].map(&mut count), [8042, 894, 2012]);
    let total = scores.total();
    assert_eq!((total.support, total.right), (23_852, 23_852));
}

#[test]
#[ignore = "reads corpora from RNN_ZOO_DATA"]
fn scores_on_corpora_read_every_pair_of_multi30k() {
    let Some(folder) = corpus("multi30k") else { return };
    let languages = Languages { source: "en".into(), target: "de".into() };
    let data = parallel_text::open(&folder, &languages, None).unwrap();
    let count = |split| data.items(split).unwrap().map(Result::unwrap).count();
    assert_eq!([Split::Train, Split::Valid, Split::Test].map(count), [29_000, 1_014, 1_000]);
    assert_eq!(data.tests().keys().collect::<Vec<_>>(), ["test_2016_flickr"]);
    let first: TextPair = data.items(Split::Train).unwrap().next().unwrap().unwrap();
    assert_eq!((first.number, first.target.split(' ').next()), (1, Some("Zwei")));
    assert!(data.notes(None).unwrap().is_empty());
}
