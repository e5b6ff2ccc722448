//! `/v1/completions`: texts are those of `rnn generate`, whoever else is served.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use candle_core::{Device, Tensor};
use hmac::{Hmac, Mac};
use serde_json::{Value, json};

use super::client::Server;
use crate::cli::{Folder, TINY};

/// Requests, and for each the flags of the command that writes the same text.
fn requests() -> Vec<(Value, Vec<&'static str>)> {
    let rules: [(Value, Vec<&str>); 6] = [
        (json!({}), vec![]),
        (json!({"temperature": 0.7, "top_p": 0.9}), vec!["--temperature", "0.7", "--top-p", "0.9"]),
        (json!({"top_k": 5, "repeat_penalty": 1.3}), vec!["--top-k", "5", "--repetition-penalty", "1.3"]),
        (json!({"min_p": 0.05, "stop": "us"}), vec!["--min-p", "0.05", "--stop", "us"]),
        (
            json!({"typical_p": 0.8, "stop": ["w t", "\n"]}),
            vec!["--typical-p", "0.8", "--stop", "w t", "--stop", "\n"],
        ),
        (json!({"temperature": 0}), vec!["--greedy"]),
    ];
    let request = |number: usize| {
        let (fields, flags) = rules[number % rules.len()].clone();
        let prompt = ["the", "cat", "dog by", ""][number % 4];
        let length = 20 + 7 * number;
        let mut body = json!({"model": "m", "prompt": prompt, "max_tokens": length, "seed": number});
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        (body, flags)
    };
    (0..24).map(request).collect()
}

/// The text that the command writes for a request.
fn written(folder: &Folder, body: &Value, flags: &[&str]) -> String {
    let (length, seed) = (&body["max_tokens"], &body["seed"]);
    let mut command = folder.rnn(&format!("generate m --json --length {length}"));
    if flags != ["--greedy"] {
        command.arg("--seed").arg(seed.to_string());
    }
    let output = command.args(flags).arg("--prompt").arg(body["prompt"].as_str().unwrap()).output().unwrap();
    assert!(output.status.success(), "{body}: {}", String::from_utf8_lossy(&output.stderr));
    let object: Value = serde_json::from_slice(&output.stdout).unwrap();
    object["text"].as_str().unwrap().to_string()
}

#[test]
fn texts_in_a_crowd_are_those_of_the_command() {
    let folder = Folder::with_model();
    let server = Server::start(&folder, "m --streams 5");
    let requests = requests();
    let found: Vec<String> = std::thread::scope(|scope| {
        let ask = |(number, (body, _)): (usize, &(Value, Vec<&str>))| {
            let (mut body, server) = (body.clone(), &server);
            scope.spawn(move || {
                // Every other client reads its text as it grows.
                body["stream"] = json!(number % 2 == 0);
                let reply = server.post("/v1/completions", &body.to_string());
                assert_eq!(reply.status, 200, "{body}: {reply:?}");
                match number % 2 {
                    0 => reply.streamed().concat(),
                    _ => reply.json()["choices"][0]["text"].as_str().unwrap().to_string(),
                }
            })
        };
        let clients: Vec<_> = requests.iter().enumerate().map(ask).collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    for ((body, flags), found) in requests.iter().zip(found) {
        assert_eq!(found, written(&folder, body, flags), "{body}");
    }
    // They were written side by side.
    assert!(server.metric("rnn_batch_size_sum") > 1.5 * server.metric("rnn_batch_size_count"));
}

#[test]
fn several_prompts_and_texts_come_in_order() {
    let folder = Folder::with_model();
    let server = Server::start(&folder, "m");
    let body = json!({"prompt": ["the", "a"], "n": 3, "max_tokens": 30, "seed": 4, "echo": true});
    let reply = server.ask("/v1/completions", &body);
    let lines = |prompt: &str| {
        let line = format!("generate m --length 30 --seed 4 --count 3 --json --prompt {prompt}");
        let texts = folder.done(&line);
        let text = |line: &str| serde_json::from_str::<Value>(line).unwrap()["text"].clone();
        texts.lines().map(|line| format!("{prompt}{}", text(line).as_str().unwrap())).collect::<Vec<_>>()
    };
    let choices = reply["choices"].as_array().unwrap();
    let found: Vec<&str> = choices.iter().map(|choice| choice["text"].as_str().unwrap()).collect();
    assert_eq!(found, [lines("the"), lines("a")].concat());
    let indices: Vec<_> = choices.iter().map(|choice| choice["index"].as_u64().unwrap()).collect();
    assert_eq!(indices, [0, 1, 2, 3, 4, 5]);
    assert!(choices.iter().all(|choice| choice["finish_reason"] == "length"));
    let usage = json!({"prompt_tokens": 4, "completion_tokens": 180, "total_tokens": 184});
    assert_eq!((&reply["usage"], &reply["seed"]), (&usage, &json!(4)));
    assert_eq!(reply["object"], "text_completion");
}

#[test]
fn several_texts_are_streamed_side_by_side() {
    let folder = Folder::with_model();
    let server = Server::start(&folder, "m");
    let mut body =
        json!({"prompt": ["the", "a"], "n": 2, "best_of": 2, "max_tokens": 20, "seed": 4, "echo": true});
    let whole = server.ask("/v1/completions", &body);
    let texts: Vec<&str> =
        whole["choices"].as_array().unwrap().iter().map(|choice| choice["text"].as_str().unwrap()).collect();
    body["stream"] = json!(true);
    let reply = server.post("/v1/completions", &body.to_string());
    assert_eq!(reply.streamed(), texts);
    let indices: Vec<u64> =
        reply.events()[4..].iter().filter_map(|event| event["choices"][0]["index"].as_u64()).collect();
    // No text waits for the end of another.
    assert_eq!(indices[..8], [0, 1, 2, 3, 0, 1, 2, 3]);
}

#[test]
fn best_texts_are_the_most_probable() {
    let folder = Folder::with_model();
    let server = Server::start(&folder, "m");
    let ask = |more: Value| {
        let mut body = json!({"prompt": "the", "max_tokens": 9, "seed": 2, "logprobs": 0});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        server.ask("/v1/completions", &body)["choices"].as_array().unwrap().clone()
    };
    let mean = |choice: &Value| {
        let logprobs = choice["logprobs"]["token_logprobs"].as_array().unwrap();
        logprobs.iter().map(|logprob| logprob.as_f64().unwrap()).sum::<f64>() / logprobs.len() as f64
    };
    let mut all = ask(json!({"n": 6}));
    all.sort_by(|a, b| mean(b).total_cmp(&mean(a)));
    let best = ask(json!({"n": 2, "best_of": 6}));
    assert_eq!(best.len(), 2);
    assert_eq!((&best[0]["text"], &best[1]["text"]), (&all[0]["text"], &all[1]["text"]));
}

#[test]
fn tokens_come_with_their_alternatives() {
    let folder = Folder::with_model();
    let server = Server::start(&folder, "m");
    let body = json!({"prompt": "the", "max_tokens": 12, "temperature": 0, "logprobs": 3});
    let choice = server.ask("/v1/completions", &body)["choices"][0].clone();
    let logprobs = &choice["logprobs"];
    let tokens = logprobs["tokens"].as_array().unwrap();
    let text: String = tokens.iter().map(|token| token.as_str().unwrap()).collect();
    assert_eq!(text, choice["text"].as_str().unwrap());
    for at in 0..12 {
        let top: BTreeMap<String, f64> =
            serde_json::from_value(logprobs["top_logprobs"][at].clone()).unwrap();
        // The model may rank a special token, which is never written, above the token.
        let highest = top.values().copied().fold(f64::NEG_INFINITY, f64::max);
        let own = logprobs["token_logprobs"][at].as_f64().unwrap();
        assert!(top.len() == 3 && own <= highest && own < 0., "{at}: {top:?}, {own}");
        if let Some(listed) = top.get(tokens[at].as_str().unwrap()) {
            assert_eq!(*listed, own);
        }
        assert_eq!(logprobs["text_offset"][at], json!(at));
    }
    let sum: f64 = (0..12).map(|at| logprobs["token_logprobs"][at].as_f64().unwrap()).sum();
    let line = folder.done("generate m --prompt the --length 12 --greedy --json");
    let expected = serde_json::from_str::<Value>(&line).unwrap()["logprob"].as_f64().unwrap();
    assert!((sum - expected).abs() < 1e-9, "{sum} {expected}");
}

/// The tokens of a choice. Each begins where its offset says.
fn tokens_in_place(logprobs: &Value, mut before: usize) -> Vec<String> {
    let tokens: Vec<String> = serde_json::from_value(logprobs["tokens"].clone()).unwrap();
    for (token, offset) in tokens.iter().zip(logprobs["text_offset"].as_array().unwrap()) {
        assert_eq!(*offset, json!(before), "{logprobs}");
        before += token.chars().count();
    }
    tokens
}

#[test]
fn tokens_join_to_the_text() {
    let folder = Folder::new();
    folder.write("korean.txt", "한국어는 그리고\n".repeat(80));
    folder.done(&format!("train rnnlm --data text.txt --out words {TINY}"));
    folder.done(&format!("train gru --data korean.txt --tokenizer bpe:280 --out bytes {TINY}"));
    let server = Server::start(&folder, "words bytes");
    for (model, prompt, stop) in [
        ("words", "the  Cat by", json!(null)),
        ("words", "", json!(["the cat", "of us us"])),
        ("bytes", "한국 x", json!(null)),
        ("bytes", "", json!(["한국", "\n\n"])),
    ] {
        for (echo, seed) in [(false, 1), (false, 2), (true, 3)] {
            let mut body = json!({"model": model, "prompt": prompt, "stop": stop, "echo": echo, "seed": seed,
                                  "max_tokens": 40, "logprobs": 3});
            let whole = server.ask("/v1/completions", &body)["choices"][0].clone();
            let tokens = tokens_in_place(&whole["logprobs"], 0);
            assert_eq!(tokens.concat(), whole["text"].as_str().unwrap(), "{body}");
            assert!(!tokens.is_empty(), "{body}");
            // Alternatives have the blank before a word too.
            for (before, top) in
                tokens.iter().zip(&whole["logprobs"]["top_logprobs"].as_array().unwrap()[1..])
            {
                let spelt = |name: &str| name.starts_with(' ') == (before != "\n") || name == "<eos>";
                assert!(model != "words" || top.as_object().unwrap().keys().all(|name| spelt(name)), "{top}");
            }
            body["stream"] = json!(true);
            let mut streamed = String::new();
            for event in server.post("/v1/completions", &body.to_string()).events() {
                let choice = &event["choices"][0];
                let tokens = tokens_in_place(&choice["logprobs"], streamed.chars().count());
                assert_eq!(tokens.concat(), choice["text"].as_str().unwrap(), "{event}");
                streamed += &tokens.concat();
            }
            assert_eq!(streamed, whole["text"].as_str().unwrap(), "{body}");
        }
    }
}

#[test]
fn text_that_a_state_holds_back_belongs_to_the_next_token() {
    let folder = Folder::with_model();
    let server = Server::start(&folder, "m");
    // Every text may begin the stop string, so all of it is held back.
    let whole = server.ask("/v1/completions", &json!({"prompt": "the", "max_tokens": 1, "seed": 5}));
    let first = whole["choices"][0]["text"].as_str().unwrap();
    let body = json!({"prompt": "the", "max_tokens": 1, "seed": 5, "return_state": true, "logprobs": 0,
                      "stop": format!("{first}\u{1}")});
    let held = server.ask("/v1/completions", &body)["choices"][0].clone();
    assert_eq!((&held["text"], &held["logprobs"]["tokens"]), (&json!(""), &json!([""])));
    let mut body = json!({"state": held["state"], "max_tokens": 3, "logprobs": 0});
    let next = server.ask("/v1/completions", &body)["choices"][0].clone();
    let tokens = tokens_in_place(&next["logprobs"], 0);
    assert!(tokens[0].starts_with(first) && tokens.len() == 3, "{next}");
    assert_eq!(tokens.concat(), next["text"].as_str().unwrap());
    body["stream"] = json!(true);
    let events = server.post("/v1/completions", &body.to_string()).events();
    assert_eq!(events[0]["choices"][0]["text"], json!(tokens[0]));
}

#[test]
fn tokens_of_an_echoed_prompt_are_those_of_a_score() {
    let folder = Folder::with_model();
    let server = Server::start(&folder, "m");
    folder.write("line.txt", "the cat\n");
    let scored: Value = serde_json::from_str(&folder.done("score m line.txt --json --tokens")).unwrap();
    let mut body = json!({"prompt": "the cat", "n": 2, "max_tokens": 2, "echo": true, "logprobs": 2});
    let whole = server.ask("/v1/completions", &body);
    for choice in whole["choices"].as_array().unwrap() {
        let logprobs = &choice["logprobs"];
        let tokens: Vec<&str> =
            logprobs["tokens"].as_array().unwrap().iter().map(|token| token.as_str().unwrap()).collect();
        assert_eq!((tokens.len(), tokens.concat().as_str()), (9, choice["text"].as_str().unwrap()));
        assert_eq!(logprobs["text_offset"], json!([0, 1, 2, 3, 4, 5, 6, 7, 8]));
        assert_eq!(logprobs["top_logprobs"][3].as_object().unwrap().len(), 2);
        for at in 0..7 {
            let [found, expected] = [&logprobs["token_logprobs"][at], &scored["token_logprobs"][at]]
                .map(|value| value.as_f64().unwrap());
            assert!((found - expected).abs() < 1e-6, "{at}: {found} {expected}");
        }
    }
    // Without a token of its own, as tools that score texts ask for it; and at the start of a stream.
    body["max_tokens"] = json!(0);
    let first = server.ask("/v1/completions", &body)["choices"][0].clone();
    assert_eq!((&first["text"], &first["finish_reason"]), (&json!("the cat"), &json!("length")));
    assert_eq!(first["logprobs"]["tokens"].as_array().unwrap().len(), 7);
    body["max_tokens"] = json!(2);
    body["stream"] = json!(true);
    let events = server.post("/v1/completions", &body.to_string()).events();
    assert_eq!(events[0]["choices"][0]["logprobs"], first["logprobs"]);
}

#[test]
fn state_goes_on_on_another_server_of_the_same_bundle_only() {
    let folder = Folder::with_model();
    folder.done(&format!("train gru --data text.txt --out other {TINY}"));
    let whole = folder.done("generate m --prompt the --length 60 --seed 9");
    let server = Server::start(&folder, "m other");
    let ask = |server: &Server, body: Value| server.ask("/v1/completions", &body)["choices"][0].clone();
    let first = ask(
        &server,
        json!({"model": "m", "prompt": "the", "max_tokens": 25, "seed": 9, "return_state": true, "echo": true}),
    );
    let state = first["state"].as_str().unwrap().to_string();
    let changed = format!("{}A{}", &state[..400], &state[401..]);
    let with = |model: &str, state: &str| json!({"model": model, "state": state}).to_string();
    // The fingerprint, which every client can read, does not sign.
    let bytes = STANDARD.decode(&state).unwrap();
    let fingerprint = server.get("/v1/models/m").json()["fingerprint"].as_str().unwrap().to_string();
    let mut signer = Hmac::<sha2::Sha256>::new_from_slice(fingerprint.as_bytes()).unwrap();
    signer.update(&bytes[32..]);
    let forged = STANDARD.encode([&signer.finalize().into_bytes()[..], &bytes[32..]].concat());
    for (body, mention) in [
        (with("m", &forged), "was changed"),
        (with("other", &state), "belongs to another bundle"),
        (with("m", &changed), "was changed"),
        (with("m", "bm8="), "is not a state"),
        (with("m", "..."), "is not a state"),
    ] {
        let message = server.refused("/v1/completions", &body, 400, Some("state"));
        assert!(message.contains(mention), "{message}");
    }
    drop(server);
    let server = Server::start(&folder, "m");
    let second = ask(&server, json!({"state": state, "max_tokens": 35, "stop": []}));
    let text = format!("{}{}\n", first["text"].as_str().unwrap(), second["text"].as_str().unwrap());
    assert_eq!(text, whole);
    // A seed starts other random numbers; the answer names it.
    let seeded =
        |seed: u64| server.ask("/v1/completions", &json!({"state": state, "max_tokens": 35, "seed": seed}));
    assert_eq!(seeded(3)["choices"], seeded(3)["choices"]);
    assert_ne!(seeded(3)["choices"][0]["text"], second["text"]);
    assert_ne!(seeded(3)["choices"], seeded(4)["choices"]);
    assert_eq!(seeded(3)["seed"], 3);
    let own = server.ask("/v1/completions", &json!({"state": state, "max_tokens": 35}));
    assert!(own.get("seed").is_none(), "{own}");
}

#[test]
fn state_is_as_large_as_its_text_and_not_as_the_vocabulary() {
    let folder = Folder::new();
    let line = |at: usize| format!("w{:04} w{:04} w{:04}\n", 3 * at, 3 * at + 1, 3 * at + 2);
    folder.write("words.txt", (0..3000).map(|at| line(at % 1000)).collect::<String>());
    folder.done(&format!("train rnnlm --data words.txt --out m {TINY}"));
    let server = Server::start(&folder, "m --max-body 8000");
    // Some of these words have high numbers in the vocabulary.
    let prompt: String = (0..30).map(|at| format!("w{:04} ", 100 * at)).collect();
    let body = json!({"prompt": prompt, "max_tokens": 5, "seed": 1, "return_state": true});
    let state = server.ask("/v1/completions", &body)["choices"][0]["state"].clone();
    let length = state.as_str().unwrap().len();
    assert!(length < 4000, "{length} bytes");
    server.ask("/v1/completions", &json!({"state": state, "max_tokens": 5, "repeat_penalty": 1.2}));
}

#[test]
fn saved_text_of_the_former_format_goes_on() {
    let folder = Folder::with_model();
    let line = "generate m --greedy --ignore-eos --repetition-penalty 1.5 --repetition-window 12";
    folder.done(&format!("{line} --length 40 --prompt the --save-state s"));
    let bytes = std::fs::read(folder.path("s")).unwrap();
    let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    let mut metadata = header.metadata().clone().unwrap();
    let entry = metadata.get_mut("rnn_zoo_text").unwrap();
    assert!(entry.contains("\"format\":2"), "{entry}");
    *entry = entry.replace("\"format\":2", "\"format\":1");
    // An age for each token of the vocabulary up to the highest of the text.
    let mut tensors = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu).unwrap();
    let numbers = |tensor: Tensor| tensor.to_vec1::<u32>().unwrap();
    let [tokens, ages] = ["tokens", "ages"].map(|name| numbers(tensors.remove(name).unwrap()));
    let mut dense = vec![0_i64; tokens.iter().max().map_or(0, |&token| token as usize + 1)];
    tokens.iter().zip(ages).for_each(|(&token, age)| dense[token as usize] = i64::from(age));
    assert!(dense.contains(&0) && dense.contains(&1), "{dense:?}");
    tensors.insert("ages".into(), Tensor::new(dense, &Device::Cpu).unwrap());
    folder.write("former", safetensors::serialize(tensors, Some(metadata)).unwrap());
    let expected = folder.done(&format!("{line} --length 60 --state s"));
    assert_eq!(folder.done(&format!("{line} --length 60 --state former")), expected);
    assert_ne!(folder.done("generate m --greedy --ignore-eos --length 60 --state s"), expected);
}

#[test]
fn streams_have_the_form_that_clients_expect() {
    let folder = Folder::with_model();
    let server = Server::start(&folder, "m");
    let body = json!({
        "prompt": "the", "max_tokens": 5, "stream": true, "stream_options": {"include_usage": true}, "user": "me",
        "presence_penalty": 0, "frequency_penalty": 0.0, "logit_bias": {}, "suffix": null,
    });
    let reply = server.post("/v1/completions", &body.to_string());
    assert!(reply.header.contains("content-type: text/event-stream"), "{}", reply.header);
    let events = reply.events();
    assert_eq!(events.len(), 6);
    assert!(events.iter().all(|event| event["id"] == events[0]["id"]));
    assert_eq!(events[3]["choices"][0]["finish_reason"], Value::Null);
    assert_eq!(events[4]["choices"][0]["finish_reason"], "length");
    assert_eq!(events[5]["choices"], json!([]));
    assert_eq!(events[5]["usage"]["completion_tokens"], 5);
    // A browser's EventSource can only GET.
    let got = server.get("/v1/completions?prompt=the&max_tokens=5&seed=3");
    let line = folder.done("generate m --prompt the --length 5 --seed 3");
    assert_eq!(format!("the{}\n", got.streamed().concat()), line);
    let twice = server.get("/v1/completions?prompt=the&prompt=a");
    assert_eq!((twice.status, &twice.json()["error"]["param"]), (400, &json!("prompt")));
}

#[test]
fn wrong_fields_are_named() {
    let folder = Folder::with_model();
    let server = Server::start(&folder, "m --max-tokens 50 --max-prompt 10 --streams 4");
    for (body, param, mention) in [
        (r#"{"max_tokens": 51}"#, "max_tokens", "is 51; expected a whole number from 0 to 50"),
        (r#"{"max_tokens": 1e9}"#, "max_tokens", "expected a whole number"),
        (r#"{"temperature": -1}"#, "temperature", "expected 0 (greedy) or more"),
        (r#"{"temperature": 1e308, "top_p": 2}"#, "top_p", "2 is not a probability"),
        (r#"{"repeat_penalty": 0}"#, "repeat_penalty", "expected above 0"),
        (r#"{"prompt": [1, 2]}"#, "prompt", "expected a string, or an array of 1 to 4 strings"),
        (r#"{"prompt": "the cat by the"}"#, "prompt", "has 14 tokens; expected at most 10"),
        (r#"{"n": 5}"#, "n", "is 5; expected a whole number from 1 to 4"),
        (r#"{"n": 3, "prompt": ["a", "b"]}"#, "best_of", "more than the 4"),
        (r#"{"n": 2, "best_of": 1}"#, "best_of", "expected a whole number from 2 to 4"),
        (r#"{"best_of": 2, "stream": true}"#, "best_of", "needs whole texts"),
        (r#"{"stop": ["a", ""]}"#, "stop", "is an empty string"),
        (r#"{"seed": -1}"#, "seed", "expected a whole number from 0"),
        (r#"{"seed": 1e400}"#, "body", "is not JSON"),
        (r#"{"suffix": "x"}"#, "suffix", "read forward only"),
        (r#"{"presence_penalty": 1}"#, "presence_penalty", "use repeat_penalty"),
        (r#"{"logit_bias": {"5": 1}}"#, "logit_bias", "not available"),
        (r#"{"stream_options": 1}"#, "stream_options", "include_usage"),
        (r#"{"tempreature": 1}"#, "tempreature", "is not a field of this route"),
        (r#"{"echo": true, "logprobs": 1, "state": "x"}"#, "echo", "the text of a state"),
        (r#"{"return_state": true, "n": 2}"#, "return_state", "belongs to one text"),
    ] {
        let message = server.refused("/v1/completions", body, 400, Some(param));
        assert!(message.starts_with(&format!("{param}: ")) && message.contains(mention), "{body}: {message}");
    }
    let missing = server.refused("/v1/completions", r#"{"model": "../m"}"#, 404, Some("model"));
    assert_eq!(missing, "model: \"../m\" is not served; expected one of m");
}
