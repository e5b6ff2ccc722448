//! Arguments that the parser of the command line refuses: one line in the form of all errors, and exit code 2.

use super::{Folder, TINY};

/// Refuse each line, with all its mentions, in one line of words of the user.
fn refuse_each<const N: usize>(lines: [(&str, [&str; 2]); N]) {
    let folder = Folder::new();
    for (line, mentions) in lines {
        folder.refused(line, 2, &mentions);
        let said = String::from_utf8(folder.rnn(line).output().unwrap().stderr).unwrap();
        assert_eq!(said.lines().count(), 1, "rnn {line}\n{said}");
        for jargon in ["invalid digit", "unknown variant", "error:", "Usage:", "literal"] {
            assert!(!said.contains(jargon), "rnn {line}\n{said}");
        }
    }
}

#[test]
fn words_that_are_unknown_missing_or_too_many_are_named() {
    refuse_each([
        ("generte m", ["`generte`: is not a command; did you mean generate?", "`rnn --help`"]),
        ("train lstm --hiden 8", ["--hiden: is not a flag of `rnn train`", "did you mean --hidden?"]),
        ("train lstm --qqq", ["--qqq: is not a flag of `rnn train`", "`rnn train --help` lists them"]),
        ("train lstm gru", ["`gru`: is one argument too many", "expected `rnn train"]),
        ("train lstm --hidden", ["--hidden: has no value", "expected --hidden N"]),
        ("export m", ["--out: is required; expected `rnn export", "--out <BUNDLE|FILE>"]),
        ("bench layer", ["--model: is required; expected `rnn bench layer", "--model <NAME>"]),
        ("bench layer --hidden 8", ["--model: is required; expected `rnn bench layer", "--model <NAME>"]),
        ("train foo", ["MODEL: there is no model `foo` (all: ", "lstm, gru"]),
        ("train ltsm", ["MODEL: there is no model `ltsm`; did you mean lstm?", "simple-rnn"]),
        ("generate", ["BUNDLE: is missing; expected `rnn generate", "BUNDLE"]),
        ("predict m", ["--text or --data: is missing", "expected"]),
        ("completions", ["SHELL: is missing", "expected `rnn completions"]),
    ]);
}

#[test]
fn values_that_cannot_be_used_are_named() {
    refuse_each([
        ("train lstm --dropout 2", ["--dropout: `2` cannot be used", "expected a number of at least 0"]),
        ("train lstm --dropout x", ["--dropout: `x` cannot be used", "expected a number of at least 0"]),
        ("train lstm --seed x", ["--seed: `x` cannot be used", "expected a whole number from 0 to "]),
        ("train lstm --warmup x", ["--warmup: `x` cannot be used", "expected a whole number of at least 0"]),
        ("train lstm --max-vocab x", ["--max-vocab: `x` cannot be used", "expected a whole number"]),
        ("train lstm --gamma x", ["--gamma: `x` cannot be used", "expected a finite number"]),
        ("train lstm --valid-fraction x", ["--valid-fraction: `x` cannot be used", "expected a number"]),
        ("data builtin:story --seed x", ["--seed: `x` cannot be used", "expected a whole number"]),
        ("train gru --reset sometimes", ["--reset: there is no `sometimes`", "expected after, before"]),
        ("train gru --init torch", ["--init: there is no `torch`", "expected pytorch, keras"]),
        ("train gru --bidirectional --merge add", ["--merge: there is no `add`", "concat, sum, mul, ave"]),
        ("train simple-rnn --nonlinearity elu", ["--nonlinearity: there is no `elu`", "tanh, relu"]),
        ("train lstm --task clasify", ["--task: there is no `clasify`", "did you mean classify?"]),
        ("train lstm --tied=perhaps", ["--tied: ", "perhaps"]),
        (
            "train lstm --min-count x",
            ["--min-count: `x` cannot be used", "expected a whole number of at least 1"],
        ),
        (
            "train lstm --warmup 99999999999999999999",
            [
                "--warmup: `99999999999999999999` cannot be used",
                "expected a whole number from 0 to 18446744073709551615",
            ],
        ),
    ]);
}

#[test]
fn flags_that_need_or_exclude_another_are_named() {
    refuse_each([
        ("train lstm --hidden 8 --hidden 9", ["--hidden: is given twice", "leave one out"]),
        ("train lstm --merge sum", ["--merge: a language model reads in one direction", "leave it out"]),
        (
            "generate m --greedy --count 2",
            ["--count: greedy search gives the same text each time", "leave out --greedy"],
        ),
        ("generate m --greedy --seed 2", ["--greedy: cannot be used with --seed", "leave one out"]),
        ("generate m --greedy --top-k 5", ["--greedy: cannot be used with --top-k", "leave one out"]),
        (
            "generate m --repetition-window 3",
            ["--repetition-penalty: is missing; --repetition-window needs it", "see `rnn generate --help`"],
        ),
        (
            "generate m --count 2 --length-penalty=1",
            ["--beams: is missing; --length-penalty needs it", "see `rnn generate --help`"],
        ),
        // The parser asks for no --beams beside flags that exclude it.
        (
            "generate m --seed 3 --length-penalty=1",
            ["--length-penalty: belongs to --beams", "leave this out"],
        ),
        (
            "generate m --prompts - --encoding cp949",
            ["--encoding: standard input is always read as UTF-8", "leave it out"],
        ),
    ]);
}

#[test]
fn an_empty_bundle_and_flags_that_exclude_each_other_are_named() {
    let folder = Folder::with_model();
    for line in
        ["generate", "score", "predict --text a", "eval --data text.txt", "train --data text.txt --from"]
    {
        let output = folder.rnn(line).arg("").output().unwrap();
        super::assert_one_line(&output, 2, &["BUNDLE: is empty; expected the folder of a bundle"], line);
    }
    let train = "train gru --data text.txt --layer-norm --reset before --out z";
    folder.refused(train, 2, &["--layer-norm and --reset before: ", "leave one of them out"]);
}

#[test]
fn a_run_that_diverges_gives_its_advice_in_one_line() {
    let folder = Folder::new();
    let line = format!("train lstm --data text.txt --lr 1e30 --out z {TINY}");
    let output = folder.rnn(&line).output().unwrap();
    super::assert_one_line(&output, 1, &["diverged at step", "--lr", "nothing is saved"], &line);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!said.contains("--eval-every"), "{said}");
}

#[test]
fn settings_of_a_recipe_are_named_among_refused_flags() {
    let folder = Folder::new();
    folder.write("r.toml", "hidden = 8\n");
    folder.refused("train --from m --recipe r.toml", 2, &["--from", "--hidden", "r.toml count as flags"]);
}

#[test]
fn only_flags_that_are_given_are_named() {
    let folder = Folder::with_model();
    let row = |series: usize, step: usize| {
        format!("{series},{},{},{}\n", ["up", "down"][series % 2], step * (series % 2), step + series)
    };
    let rows = |names: &str, count: usize| {
        let rows = (0..count).flat_map(|series| (0..4).map(move |step| (series, step)));
        format!("{names}\n{}", rows.map(|(series, step)| row(series, step)).collect::<String>())
    };
    folder.write("s.csv", rows("id,label,x,y", 40));
    folder.write("z.csv", rows("id,label,x,z", 40));
    folder.write("a.conll", "a X\nb Y\n\n".repeat(60));
    folder.done(
        "train gru --data s.csv --series-column id --label-column label --hidden 4 --max-steps 1 --out s",
    );
    for (line, code, mentions, not_given) in [
        ("predict s --text x", 2, ["--text: s reads no text", "--data"], "--data: "),
        ("predict s --data z.csv", 1, ["has no `y` (columns: id, label, x, z)", "the model reads"], "--data"),
        ("eval m --data a.conll", 2, ["the task lm needs text", "a.conll"], "--task"),
        (
            "data builtin:stroy",
            2,
            ["DATA: no built-in corpus `stroy`", "did you mean builtin:story?"],
            "--data",
        ),
        ("data builtin:adding", 2, ["DATA: builtin:adding makes sequences", "not text"], "--data"),
        (
            "score m --encoding cp949",
            2,
            ["--encoding: standard input is always read as UTF-8", "leave it out"],
            "--data",
        ),
    ] {
        folder.refused(line, code, &mentions);
        let said = String::from_utf8(folder.rnn(line).output().unwrap().stderr).unwrap();
        assert!(!said.contains(not_given), "rnn {line}\n{said}");
    }
}
