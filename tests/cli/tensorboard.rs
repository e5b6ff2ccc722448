//! `rnn train --tensorboard`: event files beside a run, and after it was resumed.

use serde_json::Value;

use super::{Folder, TINY};

/// Steps of the events with figures in a file, and what the file says of restarts.
fn steps(bytes: &[u8]) -> (Vec<u64>, Vec<u64>) {
    let (mut figures, mut restarts) = (vec![], vec![]);
    let mut rest = bytes;
    while !rest.is_empty() {
        let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
        let event = &rest[12..12 + length];
        // Nine bytes of time, and the step by seven bits a byte.
        assert_eq!((event[0], event[9]), (1 << 3 | 1, 2 << 3));
        let end = 10 + event[10..].iter().position(|byte| byte & 0x80 == 0).unwrap();
        let step = event[10..=end].iter().rev().fold(0, |step, byte| step << 7 | u64::from(byte & 0x7f));
        match event[end + 1] >> 3 {
            5 => figures.push(step),
            7 => restarts.push(step),
            _ => {}
        }
        rest = &rest[16 + length..];
    }
    (figures, restarts)
}

#[test]
fn every_report_is_an_event_and_a_resumed_run_says_where_it_goes_on() {
    let folder = Folder::new();
    let more = "--log-every 1 --eval-every 2 --tensorboard logs/m";
    folder.done(&format!("train rnnlm --data text.txt --out m {TINY} {more}"));
    folder.done("train --resume m --max-steps 6 --tensorboard logs/m");
    let mut names: Vec<_> =
        std::fs::read_dir(folder.path("logs/m")).unwrap().map(|e| e.unwrap().path()).collect();
    names.sort();
    let [first, second] = &names[..] else { panic!("{names:?}") };
    let (figures, restarts) = steps(&std::fs::read(first).unwrap());
    let (after, resumed) = steps(&std::fs::read(second).unwrap());
    assert_eq!((restarts, resumed), (vec![], vec![4]));
    let reports = String::from_utf8(folder.bytes("m/metrics.jsonl")).unwrap();
    let reports: Vec<u64> = reports
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["step"].as_u64().unwrap())
        .collect();
    assert_eq!([figures, after].concat(), reports);
    let text = String::from_utf8_lossy(&std::fs::read(first).unwrap()).into_owned();
    for tag in ["train/loss", "train/perplexity", "valid/loss", "valid/perplexity", "lr", "tokens_per_second"]
    {
        assert!(text.contains(tag), "{tag}");
    }
    let recipe = String::from_utf8(folder.bytes("m/recipe.toml")).unwrap();
    assert!(!recipe.contains("logs"), "who watches a run is none of its settings");
}

#[test]
fn two_runs_do_not_share_a_folder_of_events() {
    let folder = Folder::new();
    let train = |more: &str| format!("train lstm --data text.txt {TINY} --tensorboard logs {more}");
    folder.done(&train("--out m"));
    folder.refused(&train("--out n"), 1, &["logs: has the events of another run", "--force"]);
    folder.done(&train("--out m --force"));
    assert_eq!(std::fs::read_dir(folder.path("logs")).unwrap().count(), 2);
    folder.refused(&train("--out n").replace("logs", "text.txt"), 1, &["text.txt: cannot hold event files"]);
}

#[test]
fn folder_inside_the_bundle_is_refused() {
    let folder = Folder::new();
    for events in ["m", "m/logs", "./m/logs"] {
        let line = format!("train lstm --data text.txt {TINY} --out m --tensorboard {events}");
        folder.refused(&line, 2, &["--tensorboard: is inside m", "choose another folder"]);
    }
}
