//! Exit codes: 0 done, 2 for a wrong flag or argument, which the message names first, 1 for any other failure.

use super::{Folder, TINY};

#[test]
fn a_model_that_is_not_named_is_asked_for_by_name() {
    let folder = Folder::new();
    for line in ["train", "train --data text.txt", "train --hidden 8 --out m"] {
        folder.refused(line, 2, &["MODEL: is missing", "simple-rnn, lstm, gru, rnnlm", "rnn train lstm"]);
    }
}

#[test]
fn wrong_flags_are_code_2_and_all_else_is_code_1() {
    let folder = Folder::with_model();
    folder.write("broken/config.json", "{");
    for (line, code, first) in [
        ("train lstm --hiden 8", 2, "rnn: --hiden: is not a flag of `rnn train`; did you mean --hidden?"),
        ("train lstm --dropout 2", 2, "rnn: --dropout: `2` cannot be used: expected a number"),
        ("train lstm --data nothing.txt", 1, "rnn: nothing.txt: "),
        ("eval m --data nothing.txt", 1, "rnn: nothing.txt: "),
        ("score m nothing.txt", 1, "rnn: nothing.txt: "),
        ("data nothing.txt", 1, "rnn: nothing.txt: "),
        ("generate nothing", 1, "rnn: nothing: "),
        ("generate m --state nothing", 1, "rnn: nothing: "),
        ("generate m --prompts nothing", 1, "rnn: nothing: "),
        ("plot nothing", 1, "rnn: nothing: "),
        ("export nothing --out o", 1, "rnn: nothing: "),
        ("eval m --data builtin:stroy", 2, "rnn: --data: "),
        ("train lstm --data text.txt --reset before", 2, "rnn: --reset: "),
        ("train ltsm", 2, "rnn: MODEL: "),
        ("train --from nothing --data text.txt", 1, "rnn: nothing: "),
        ("generate m --top-p 2", 2, "rnn: --top-p: "),
        ("plot m --metric speed", 2, "rnn: --metric: "),
        ("plot m --out m.gif", 2, "rnn: --out: "),
        ("eval nothing --data text.txt", 1, "rnn: nothing: "),
        ("eval broken --data text.txt", 1, "rnn: broken"),
        ("train --resume nothing", 1, "rnn: nothing: "),
        ("train --recipe nothing.toml", 1, "rnn: nothing.toml: "),
        ("train lstm --data text.txt --out text.txt", 1, "rnn: text.txt: "),
        ("export m --out text.txt", 1, "rnn: text.txt: "),
        ("plot text.txt", 1, "rnn: text.txt: "),
    ] {
        let output = folder.rnn(line).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "rnn {line}\n{said}");
        assert!(
            said.lines().last().unwrap().starts_with(first) || said.starts_with(first),
            "rnn {line}\n{said}"
        );
    }
    let help = folder.done("--help");
    assert!(help.contains("Exit codes: 0 done, 1 failed, 2 wrong command line, 130 stopped"), "{help}");
}

#[test]
fn flags_are_checked_before_the_data_is_read() {
    let folder = Folder::new();
    for (flags, mention) in [
        ("--reset before", "--reset: belongs to gru"),
        ("--cell gru", "--cell"),
        ("--chrono 2", "--chrono: expected at least 3"),
        ("--projection 9 --hidden 8", "--projection: 9"),
        ("--hidden 60000", "--hidden: hidden_size 60000"),
        ("--hidden 20000 --layers 1000", "--hidden: training a network of "),
        ("--momentum 0.9 --optimizer adam", "--momentum"),
        ("--warmup 5 --schedule step", "--warmup: belongs to --schedule cosine"),
        ("--betas 0.9,0.99 --optimizer sgd", "--betas"),
    ] {
        let line = format!("train lstm --data text.txt --out z {flags}");
        folder.refused(&line, 2, &[mention]);
        let said = String::from_utf8(folder.rnn(&line).output().unwrap().stderr).unwrap();
        assert_eq!(said.lines().count(), 1, "the data is read before {flags} is checked:\n{said}");
    }
}

#[test]
fn no_message_names_a_flag_twice() {
    let folder = Folder::new();
    for (flags, flag) in [
        ("--tokenizer chars", "--tokenizer"),
        ("--tokenizer bpe:x", "--tokenizer"),
        ("--optimizer lion", "--optimizer"),
        ("--schedule linear", "--schedule"),
        ("--average mean", "--average"),
    ] {
        let output = folder.rnn(&format!("train lstm {flags} --out m {TINY}")).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{flags}\n{said}");
        assert_eq!(said.matches(&format!("{flag}: ")).count(), 1, "{said}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn memory_that_cannot_be_had_is_an_error_with_its_size() {
    let folder = Folder::new();
    folder.refused(
        "bench lm --model lstm --vocab 16000000 --hidden 60000 --repeat 1",
        2,
        &["--hidden", "hidden_size 60000"],
    );
    folder.refused(
        "bench lm --model gru --vocab 16000000 --embedding 60000 --hidden 8 --repeat 1",
        2,
        &["--vocab", "takes at least", "this machine has"],
    );
    for size in ["--batch 1000000000 --time 100000", "--batch 10000000000 --time 1000000000"] {
        folder.refused(
            &format!("bench layer --model gru --hidden 8 --repeat 1 {size}"),
            2,
            &["--batch, --time", "takes at least", "this machine has"],
        );
    }
    // An allocation that no estimate foresees, in 3 GB of address space.
    let program = assert_cmd::cargo::cargo_bin!("rnn");
    let script = "ulimit -v 3000000; exec \"$0\" bench layer --model gru --hidden 8 --batch 100000 --time 1000 --repeat 1";
    let output = std::process::Command::new("sh").args(["-c", script]).arg(program).output().unwrap();
    super::assert_one_line(&output, 1, &["out of memory: ", " bytes cannot be allocated"], script);
}
