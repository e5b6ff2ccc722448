//! Data and flags that cannot be used: each is one clear line, and nothing is lost.

use super::{Folder, TINY, TINY_SEQUENCES, text};

#[test]
fn data_that_cannot_be_learned_from_is_named() {
    let folder = Folder::new();
    folder.write("empty.txt", "");
    folder.write("blank.txt", "  \n\n \n");
    folder.write("binary.txt", (0..4096_u32).map(|n| (n * 7919 % 251) as u8).collect::<Vec<_>>());
    folder.write("zeros.txt", [0; 4096]);
    folder.write(
        "damaged.txt",
        [text().replace("cat", "caf\u{e9}").as_bytes(), b"\xff\n", text().as_bytes()].concat(),
    );
    folder.write("short.txt", "hi");
    folder.write("line.txt", "one line, and no end");
    folder.write("header.csv", "text\n");
    folder.write("two.csv", "title,body\na,b\n");
    folder.write("few.csv", "text\na\nb\n");
    folder.write("ragged.csv", "text,label\na,b\nc,d,e\n");
    folder.write("numbers.jsonl", "{\"text\": 3}\n");
    folder.write("broken.jsonl", "{\"text\": \"a\"}\n{\"text\": \n");
    folder.write("folder/readme.txt", text());
    folder.write("both/train.txt", text());
    folder.write("both/train.csv", "text\na\n");
    for (data, code, mentions) in [
        ("empty.txt", 1, vec!["empty.txt: is empty"]),
        ("blank.txt", 1, vec!["blank.txt", "white space"]),
        ("binary.txt", 1, vec!["binary.txt: is binary, not text", "--encoding"]),
        ("zeros.txt", 1, vec!["zeros.txt: is binary, not text"]),
        ("damaged.txt", 1, vec!["damaged.txt: byte", "is not UTF-8", "--encoding"]),
        ("short.txt", 1, vec!["2 tokens", "--batch-size 4", "--bptt 8", "use more text"]),
        ("line.txt", 1, vec!["--batch-size 4", "--bptt 8", "or --batch-size"]),
        ("header.csv", 1, vec!["header.csv", "no records"]),
        ("two.csv", 1, vec!["two.csv", "title, body", "--text-column"]),
        ("two.csv --text-column text", 1, vec!["two.csv", "`text`", "title, body", "--text-column"]),
        ("two.csv --text-column body --label-column kind", 1, vec!["two.csv", "`kind`", "--label-column"]),
        (
            "line.txt --valid-fraction 0.94",
            1,
            vec!["line.txt", "too short to train on", "--valid-fraction 0"],
        ),
        ("ragged.csv --text-column text", 1, vec!["ragged.csv", "line 3"]),
        ("numbers.jsonl", 1, vec!["numbers.jsonl", "line 1"]),
        ("broken.jsonl", 1, vec!["broken.jsonl", "line 2"]),
        ("folder", 1, vec!["folder", "train.txt"]),
        ("both", 1, vec!["train.txt", "train.csv", "keep one"]),
        ("text.txt --text-column text", 2, vec!["--text-column", "no columns"]),
        ("nothing.txt", 1, vec!["nothing.txt: no such file", "expected a text"]),
        ("story", 1, vec!["story: no such file", "builtin:story"]),
        ("builtin:stroy", 2, vec!["--data", "did you mean builtin:story?"]),
        ("builtin:", 2, vec!["--data", "story, reber, adding, copy"]),
        ("hf://someone/something", 2, vec!["--data", "hf://datasets/OWNER/NAME/FILE"]),
        ("builtin:adding --task lm", 2, vec!["--data", "the task lm needs text"]),
        ("text.txt --task tag", 1, vec!["text.txt", "one tag (us)"]),
        ("text.txt --task classify", 2, vec!["--label-column"]),
    ] {
        let windows = !data.contains("column") && !data.contains("--task");
        let sizes = if windows { TINY } else { TINY_SEQUENCES };
        folder.refused(&format!("train lstm --data {data} --out m {sizes}"), code, &mentions);
    }
}

/// Refuse training with each of the flags, and name all of the mentions.
fn refuse_flags(flags: impl IntoIterator<Item = (String, Vec<&'static str>)>) {
    let folder = Folder::new();
    for (flags, mentions) in flags {
        folder.refused(&format!("train lstm --data text.txt --out m {flags}"), 2, &mentions);
    }
}

#[test]
fn numbers_out_of_range_are_named() {
    let zeros = "--hidden --embedding --layers --batch-size --bptt --epochs --max-steps --eval-every --log-every \
                 --early-stop --projection --max-vocab --threads";
    let zeros = zeros.split_whitespace().map(|flag| (format!("{flag} 0"), vec![flag]));
    let numbers = [
        ("--dropout 1.5", "--dropout"),
        ("--dropout 1", "--dropout"),
        ("--dropout -0.1", "--dropout"),
        ("--dropout nan", "--dropout"),
        ("--recurrent-dropout 2", "--recurrent-dropout"),
        ("--embedding-dropout 2", "--embedding-dropout"),
        ("--weight-drop -1", "--weight-drop"),
        ("--zoneout 1", "--zoneout"),
        ("--forget-bias nan", "--forget-bias"),
        ("--chrono 20 --forget-bias 1", "--forget-bias"),
        ("--lr nan", "--lr"),
        ("--lr -1", "--lr"),
        ("--lr inf", "--lr"),
        ("--lr fast", "--lr"),
        ("--clip -1", "--clip"),
        ("--clip nan", "--clip"),
        ("--weight-decay -1", "--weight-decay"),
        ("--momentum 2 --optimizer sgd", "--momentum"),
        ("--schedule step --gamma -1", "gamma"),
        ("--valid-fraction 2", "--valid-fraction"),
        ("--valid-fraction -1", "--valid-fraction"),
        ("--test-fraction nan", "--test-fraction"),
        ("--seed -1", "--seed"),
        ("--hidden 1000000", "--hidden"),
        ("--hidden 99999999999999999999", "--hidden"),
        ("--projection 20 --hidden 8", "--projection"),
    ];
    refuse_flags(zeros.chain(numbers.map(|(flags, name)| (flags.to_string(), vec![name]))));
}

#[test]
fn choices_that_make_no_sense_are_named() {
    let choices = [
        ("--average mean", vec!["--average", "ema:DECAY"]),
        ("--average ema:1", vec!["--average", "below 1"]),
        ("--betas 0.9", vec!["--betas", "two numbers"]),
        ("--optimizer sgd --betas 0.9,0.99", vec!["--betas", "not sgd"]),
        ("--eval-every daily", vec!["--eval-every", "or epoch"]),
        ("--average nt-asgd --valid-fraction 0", vec!["--average", "no validation data"]),
        ("--vary-bptt --epochs 10001", vec!["--epochs", "at most 10000"]),
        ("--label-smoothing 1", vec!["--label-smoothing", "below 1"]),
        ("--bidirectional", vec!["--bidirectional", "language model"]),
        ("--merge sum", vec!["--merge", "one direction"]),
        ("--merge mean --bidirectional", vec!["--merge", "ave", "concat"]),
        ("--momentum 0.9", vec!["--momentum", "sgd"]),
        ("--warmup 5 --schedule step", vec!["--warmup", "cosine"]),
        ("--gamma 0.5", vec!["--gamma", "step and plateau"]),
        ("--reset before", vec!["--reset", "gru"]),
        ("--chrono 2", vec!["--chrono", "at least 3"]),
        ("--nonlinearity relu", vec!["--nonlinearity", "simple-rnn"]),
        ("--cell gru", vec!["--cell", "rnnlm"]),
        ("--optimizer lion", vec!["--optimizer", "sgd, adam, adamw, rmsprop"]),
        ("--schedule linear", vec!["--schedule", "one-cycle"]),
        ("--init xavier", vec!["--init", "keras"]),
        ("--task sing", vec!["--task", "classify"]),
        ("--tokenizer chars", vec!["--tokenizer", "`chars`", "bpe:N"]),
        ("--tokenizer bpe", vec!["--tokenizer", "bpe:8000"]),
        ("--tokenizer bpe:7", vec!["--tokenizer", "258"]),
        ("--tokenizer missing.json", vec!["--tokenizer", "missing.json"]),
        ("--device gpu", vec!["--device", "cuda:N"]),
        ("--hiden 8", vec!["--hiden", "--hidden"]),
        ("--save-every 8", vec!["--save-every"]),
    ];
    refuse_flags(choices.map(|(flags, names)| (flags.to_string(), names)));
}

#[test]
fn a_file_that_is_no_tokenizer_is_named() {
    let folder = Folder::new();
    for tokenizer in ["{}", "{", "no json"] {
        folder.write("broken.json", tokenizer);
        let line = "train lstm --data text.txt --out m --tokenizer broken.json";
        folder.refused(line, 1, &["broken.json", "tokenizer"]);
    }
}

#[test]
fn a_model_that_does_not_exist_suggests_the_nearest() {
    let folder = Folder::new();
    for (name, nearest) in
        [("ltsm", "lstm"), ("grru", "gru"), ("simplernn", "simple-rnn"), ("rnn-lm", "rnnlm")]
    {
        let suggestion = format!("did you mean {nearest}?");
        folder.refused(&format!("train {name} --data text.txt"), 2, &["MODEL", name, &suggestion]);
    }
    folder.done(&format!("train Simple_RNN --data text.txt --out m {TINY}"));
    folder.refused("train", 2, &["MODEL"]);
}

#[cfg(not(feature = "cuda"))]
#[test]
fn a_build_without_cuda_says_how_to_get_it() {
    let folder = Folder::with_model();
    for line in [
        "train lstm --data text.txt --out n",
        "train --resume m",
        "eval m --data text.txt",
        "generate m",
        "predict m --text a",
        "bench layer --model lstm",
    ] {
        folder.refused(
            &format!("{line} --device cuda"),
            2,
            &["--device", "cargo build --release --features cuda"],
        );
    }
}

#[test]
fn sampling_that_makes_no_sense_names_its_flag() {
    let folder = Folder::with_model();
    for (flags, name) in [
        ("--top-p 2", "--top-p"),
        ("--top-p 0", "--top-p"),
        ("--top-p -0.5", "--top-p"),
        ("--top-p nan", "--top-p"),
        ("--top-k 0", "--top-k"),
        ("--top-k -1", "--top-k"),
        ("--temperature -1", "--temperature"),
        ("--temperature nan", "--temperature"),
        ("--temperature inf", "--temperature"),
        ("--greedy --top-k 3", "--greedy"),
        ("--greedy --min-p 0.1", "--greedy"),
        ("--min-p 1.5", "--min-p"),
        ("--min-p nan", "--min-p"),
        ("--typical-p 0", "--typical-p"),
        ("--typical-p 2", "--typical-p"),
        ("--repetition-penalty 0", "--repetition-penalty"),
        ("--repetition-penalty nan", "--repetition-penalty"),
        ("--repetition-penalty 1.1 --repetition-window 0", "--repetition-window"),
        ("--repetition-window 5", "--repetition-penalty"),
        ("--beams 0", "--beams"),
        ("--beams 99999999999", "--beams"),
        ("--beams 2 --count 3", "--count"),
        ("--beams 2 --temperature 0.5", "--beams"),
        ("--beams 2 --greedy", "--beams"),
        ("--beams 2 --top-k 5", "--beams"),
        ("--beams 2 --repetition-penalty 1.2", "--beams"),
        ("--beams 2 --seed 3", "--beams"),
        ("--beams 2 --save-state s", "--beams"),
        ("--beams 2 --length-penalty nan", "--length-penalty"),
        ("--length-penalty 1", "--beams"),
        ("--stop=", "--stop"),
        ("--prompts text.txt --prompt a", "--prompts"),
        ("--prompts text.txt --save-state s", "--prompts"),
        ("--save-state s --count 2", "--save-state"),
        ("--count 0", "--count"),
        ("--length -1", "--length"),
        ("--threads 0", "--threads"),
    ] {
        folder.refused(&format!("generate m {flags}"), 2, &[name]);
    }
}

#[test]
fn unsuited_models_are_refused() {
    let folder = Folder::with_model();
    folder.done(&format!("train gru --data builtin:adding --out adding {TINY_SEQUENCES}"));
    folder.write("binary.txt", [0x80; 100]);
    for (line, code, mentions) in [
        ("generate adding --prompt once", 2, vec!["adding: its task is forecast", "only a language model"]),
        (
            "predict m --text hello",
            2,
            vec!["m: a language model predicts the next token only", "rnn generate"],
        ),
        ("predict m --data text.txt", 2, vec!["m: a language model", "rnn generate"]),
        ("predict adding --text hello", 2, vec!["adding: ", "forecast"]),
        ("predict adding --data text.txt", 2, vec!["--data", "builtin:adding"]),
        ("eval adding --data text.txt", 2, vec!["--data", "builtin:adding"]),
        ("eval m --data builtin:adding", 2, vec!["--data", "needs text"]),
        ("eval m", 2, vec!["--data"]),
        ("eval m --data nothing", 1, vec!["nothing: no such file"]),
        ("eval m --data binary.txt", 1, vec!["binary.txt", "UTF-8"]),
        ("eval m --data text.txt --split dev", 2, vec!["--split", "valid"]),
        ("eval m --data text.txt --batch-size 0", 2, vec!["--batch-size"]),
    ] {
        folder.refused(line, code, &mentions);
    }
}

#[test]
fn a_loss_that_explodes_names_step_and_rate_and_keeps_the_last_checkpoint() {
    let folder = Folder::with_model();
    let sizes = "--hidden 8 --batch-size 4 --bptt 8";
    let explode = format!("train lstm --data text.txt {sizes} --clip 0 --lr 1e30 --schedule constant");
    // No checkpoint before the explosion: a bundle that was there stays, `--force` or not.
    for out in ["n", "m --force"] {
        folder.refused(
            &format!("{explode} --out {out}"),
            1,
            &["diverged at step 2", "learning rate 1.000e30", "--lr", "--clip"],
        );
    }
    // One at every step until the rate has warmed up too far.
    let slow = format!(
        "train lstm --data text.txt {sizes} --clip 0 --lr 1e3 --warmup 60 --schedule cosine --optimizer sgd"
    );
    let output =
        folder.rnn(&format!("{slow} --eval-every 1 --max-steps 100 --out m --force")).output().unwrap();
    super::assert_one_line(&output, 1, &["diverged at step", "--lr"], &slow);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("the checkpoint from before is in m"), "{said}");
    let state = folder.json("m/training/state.json");
    let step = state["state"]["progress"]["step"].as_u64().unwrap();
    assert!(said.contains(&format!("diverged at step {}", step + 1)), "{said}");
    folder.done("eval m --data text.txt");
}

#[test]
fn existing_files_are_not_overwritten() {
    let folder = Folder::with_model();
    folder.write("mine/notes.txt", "not a bundle");
    let train = format!("train gru --data text.txt {TINY}");
    for (out, mentions) in [
        ("--out m", vec!["m: is a bundle already", "--force", "--resume", "--out"]),
        ("--out mine", vec!["mine: is a folder with other files", "--out"]),
        ("--out mine --force", vec!["mine: is a folder with other files", "--out"]),
        ("--out text.txt --force", vec!["text.txt: is a file", "--out"]),
        ("--out text.txt/m", vec!["text.txt"]),
    ] {
        folder.refused(&format!("{train} {out}"), 1, &mentions);
    }
    folder.done(&format!("{train} --out m --force"));
    assert_eq!(folder.json("m/config.json")["model"], "gru");
}

#[test]
fn options_without_effect_on_the_data_are_refused() {
    let folder = Folder::new();
    let train = format!("train gru --data text.txt {TINY} --valid-fraction 0");
    for (more, mentions) in [
        ("--early-stop 3 --out a", ["--early-stop: ", "no validation data"]),
        ("--average nt-asgd:2 --out a", ["--average: ", "no validation data"]),
    ] {
        folder.refused(&format!("{train} {more}"), 2, &mentions);
    }
    folder.done(&format!("{train} --out m"));
    let mentions = ["text.txt: has no valid split", "fraction is 0", "--split all"];
    folder.refused("eval m --data text.txt --split valid --valid-fraction 0", 1, &mentions);
}

#[test]
fn mistyped_hub_address_is_shown_the_form() {
    let folder = Folder::new();
    for command in ["generate hf://nope", "eval hf://a/b/c --data text.txt", "plot hf://nope"] {
        folder.refused(command, 1, &["hf://", "expected hf://OWNER/NAME"]);
    }
}

#[test]
fn missing_files_are_in_plain_words_with_advice() {
    let folder = Folder::with_model();
    for (line, mentions) in [
        ("score m nosuch", ["nosuch: no such file", "expected a file of lines"]),
        ("generate m --prompts nosuch", ["nosuch: no such file", "expected a file with a prompt a line"]),
        ("generate m --state nosuch", ["nosuch: no such file", "rnn generate --save-state FILE"]),
        (
            "train --recipe nosuch.toml",
            ["nosuch.toml: cannot be read: no such file", "recipe.toml of a bundle"],
        ),
        (
            "man --out text.txt/man",
            ["text.txt/man: cannot be written: a part of the path is a file", "--out"],
        ),
    ] {
        folder.refused(line, 1, &mentions);
    }
    std::fs::remove_file(folder.path("m/training/last.safetensors")).unwrap();
    let resume = "train --resume m --max-steps 5";
    folder.refused(
        resume,
        1,
        &["m/training/last.safetensors: is missing; the run cannot be resumed", "--from"],
    );
}

#[test]
fn folder_without_data_names_the_column_files_too() {
    let folder = Folder::new();
    folder.write("d/readme.md", "nothing");
    folder.refused(
        &format!("train gru --data d --out m {TINY}"),
        1,
        &["d: has no train.txt", "a column file such as train.conll"],
    );
}
