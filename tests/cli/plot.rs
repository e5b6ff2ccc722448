//! `rnn plot`, and the picture in every bundle.

use super::{Folder, TINY, assert_one_line};

fn text(folder: &Folder, name: &str) -> String {
    String::from_utf8(folder.bytes(name)).unwrap()
}

#[test]
fn every_bundle_has_its_picture_after_a_resume_too() {
    let folder = Folder::new();
    folder.done(&format!("train lstm --data text.txt --out m {TINY} --log-every 1 --eval-every 2"));
    folder.done("plot m");
    assert!(folder.bytes("plot.svg") == folder.bytes("m/curve.svg"));
    folder.done("train --resume m --max-steps 9");
    let before = folder.bytes("plot.svg");
    folder.done("plot m/ --out again.svg");
    assert!(folder.bytes("m/curve.svg") != before, "the run went on");
    assert!(folder.bytes("m/curve.svg") == folder.bytes("again.svg"));
    assert!(text(&folder, "m/README.md").contains("](curve.svg)"));
    for label in ["training", "validation", "loss", "perplexity", "learning rate", "optimizer step"] {
        assert!(text(&folder, "m/curve.svg").contains(&format!("\n{label}\n")), "{label}");
    }
}

#[test]
fn runs_are_drawn_side_by_side_from_bundles_and_their_reports() {
    let folder = Folder::new();
    for model in ["gru", "lstm"] {
        folder.done(&format!("train {model} --data text.txt --out runs/{model} {TINY} --log-every 1"));
    }
    folder.done("plot runs/gru runs/lstm/metrics.jsonl --out both.svg --metric loss,lr --x seconds");
    let svg = text(&folder, "both.svg");
    for label in ["runs/gru", "runs/lstm", "loss", "learning rate", "seconds"] {
        assert!(svg.contains(&format!("\n{label}\n")), "no {label} in {svg}");
    }
    assert!(!svg.contains("\nperplexity\n"));
    folder.done("plot runs/gru runs/lstm/metrics.jsonl --out twice.svg --metric loss,lr,loss --x seconds");
    assert!(folder.bytes("twice.svg") == folder.bytes("both.svg"), "a panel each, whatever is named twice");
    folder.done("plot runs/gru runs/lstm --out BOTH.PNG --metric perplexity");
    let png = folder.bytes("BOTH.PNG");
    assert!(png.starts_with(b"\x89PNG\r\n\x1a\n"));
    // The header says how wide and high it is.
    let size = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
    assert_eq!(size(16), 1600);
    assert!(size(20) > 400 && size(20) < 800, "one panel");
}

#[test]
fn a_task_without_perplexity_has_two_panels() {
    let folder = Folder::new();
    folder.done("train gru --data builtin:adding --hidden 4 --max-steps 2 --log-every 1 --out m");
    let svg = text(&folder, "m/curve.svg");
    assert!(svg.contains("\nloss\n") && !svg.contains("\nperplexity\n"), "{svg}");
    folder.refused("plot m --metric perplexity --out z.svg", 2, &["--metric", "reports its perplexity"]);
}

#[test]
fn a_very_long_run_is_a_small_picture() {
    let folder = Folder::new();
    let line = |step: usize| {
        format!(
            "{{\"step\":{step},\"epoch\":0,\"split\":\"train\",\"loss\":{},\"lr\":0.1}}\n",
            1. / step as f64
        )
    };
    folder.write("metrics.jsonl", (1..=100_000).map(line).collect::<String>());
    folder.done("plot metrics.jsonl");
    let short = (1..=1000).map(|step| line(100 * step)).collect::<String>();
    folder.write("short/metrics.jsonl", short);
    folder.done("plot short --out short.svg");
    assert!(folder.bytes("plot.svg").len() < 4 * folder.bytes("short.svg").len());
}

#[test]
fn invalid_plots_are_refused() {
    let folder = Folder::with_model();
    folder.write("empty/metrics.jsonl", "");
    let runs = "m ".repeat(8);
    for (line, code, mentions) in [
        ("plot nothing", 1, ["nothing: cannot be read", "metrics.jsonl"]),
        ("plot text.txt", 1, ["text.txt: line 1 is not a report", "metrics.jsonl"]),
        ("plot empty", 1, ["empty/metrics.jsonl: holds no reports yet", "nothing to draw"]),
        ("plot m empty", 1, ["empty/metrics.jsonl: holds no reports yet", "nothing to draw"]),
        ("plot m --out m.gif", 2, ["--out: m.gif", ".svg nor .png"]),
        ("plot m --out nowhere/m.svg", 1, ["nowhere/m.svg: cannot be written", "--out"]),
        ("plot m --metric loss,speed", 2, ["--metric", "expected loss, perplexity"]),
        ("plot m --x epoch", 2, ["--x epoch: no epoch of m is known to be over", "--x step"]),
        ("plot m --split test", 2, ["--split", "belongs to --confusion and --forecast"]),
        ("plot m --attention a --seed 3", 2, ["--seed", "draws one text"]),
        ("plot", 2, ["RUN", "RUN: is missing"]),
        (&format!("plot {runs}"), 2, ["RUN: 8 runs", "7 at most"]),
    ] {
        folder.refused(line, code, &mentions);
    }
}

/// A limit on the size of files acts as a full disk does, but only on this process.
#[cfg(unix)]
#[test]
fn full_disk_leaves_the_previous_picture() {
    let folder = Folder::with_model();
    let draw = |out: &str| {
        let line = format!("trap '' XFSZ; ulimit -f 1; exec \"$0\" plot m --out {out}");
        let rnn = assert_cmd::cargo::cargo_bin!("rnn");
        let output = std::process::Command::new("sh")
            .current_dir(folder.path("."))
            .args(["-c", &line])
            .arg(rnn)
            .output()
            .unwrap();
        assert_one_line(&output, 1, &[out, "cannot be written"], out);
    };
    let before = folder.snapshot();
    draw("new.svg");
    assert!(folder.snapshot() == before, "nothing is left of a picture that could not be written");
    folder.write("old.svg", "old");
    draw("old.svg");
    assert_eq!(text(&folder, "old.svg"), "old");
}
