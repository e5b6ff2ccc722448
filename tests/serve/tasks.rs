//! `/v1/predict`, `/v1/score`, `/v1/inspect` and the routes about the server.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::client::Server;
use crate::cli::{Folder, TINY_SEQUENCES, records};

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Forecasts without the values before them, which the command does not print.
fn without_history(mut forecasts: Vec<Value>) -> Vec<Value> {
    for forecast in &mut forecasts {
        assert!(forecast.as_object_mut().unwrap().remove("history").unwrap().is_array());
    }
    forecasts
}

#[test]
fn answers_are_those_of_the_command() {
    let folder = Folder::new();
    folder.write("records.csv", records("label,text"));
    folder.done(&format!(
        "train lstm --task classify --data records.csv --label-column label --out classifier {TINY_SEQUENCES}"
    ));
    folder
        .done(&format!("train gru --task translate --data builtin:dates --out translator {TINY_SEQUENCES}"));
    let rows: String = (0..200).map(|n| format!("{n},{}\n", (f64::from(n) / 5.).sin())).collect();
    let table = format!("step,value\n{rows}");
    folder.write("series.csv", &table);
    folder.done(&format!(
        "train gru --task forecast --data series.csv --rows 8 --horizon 3 --out forecaster {TINY_SEQUENCES}"
    ));
    let stores: String =
        (0..200).flat_map(|n| ["a", "b"].map(|store| format!("{n},{store},{}\n", n % 7))).collect();
    let stores = format!("step,store,value\n{stores}");
    folder.write("stores.csv", &stores);
    folder.done(&format!(
        "train gru --task forecast --data stores.csv --series-column store --target value --horizon 3 --out of_stores {TINY_SEQUENCES}"
    ));
    let server = Server::start(&folder, "classifier translator forecaster of_stores");
    let ask = |model: &str, input: Value| {
        server.ask("/v1/predict", &json!({"model": model, "input": input}))["data"]
            .as_array()
            .unwrap()
            .clone()
    };
    folder.write("questions.txt", "ab ab\nab\n");
    let classes = lines(&folder.done("predict classifier --data questions.txt --json"));
    assert_eq!(ask("classifier", json!(["ab ab", "ab"])), classes);
    assert_eq!(ask("classifier", json!("ab")), classes[1..]);
    let date = folder.rnn("predict translator --json --text").arg("3 may 1999").output().unwrap();
    let date = lines(&String::from_utf8(date.stdout).unwrap());
    assert_eq!(ask("translator", json!("3 may 1999")), date);
    let forecast = lines(&folder.done("predict forecaster --data series.csv --json"));
    assert_eq!(without_history(ask("forecaster", json!(table))), forecast);
    assert_eq!(forecast[0]["mean"].as_array().unwrap().len(), 3);
    let forecast = lines(&folder.done("predict of_stores --data stores.csv --json"));
    assert_eq!(without_history(ask("of_stores", json!(stores))), forecast);
    assert_eq!(forecast.len(), 2);
    let earlier = lines(&folder.done("predict forecaster --data series.csv --at 150 --json"));
    let at = server.ask("/v1/predict", &json!({"model": "forecaster", "input": table, "at": "150"}));
    assert_eq!(without_history(at["data"].as_array().unwrap().clone()), earlier);
    assert_ne!(earlier, lines(&folder.done("predict forecaster --data series.csv --json")));
    let refused = r#"{"model": "classifier", "input": "a", "at": "3"}"#;
    server.refused("/v1/predict", refused, 400, Some("at"));
    let late = json!({"model": "forecaster", "input": table, "at": "900"}).to_string();
    let late = server.refused("/v1/predict", &late, 400, Some("at"));
    assert!(late.contains("no series has a forecast from 900 on"), "{late}");
    let refused = r#"{"model": "classifier", "input": "a", "series_column": "id"}"#;
    server.refused("/v1/predict", refused, 400, Some("series_column"));

    let body = json!({"model": "translator", "input": "3 may 1999", "beams": 3, "alignment": true});
    let aligned = &server.ask("/v1/predict", &body)["data"][0]["alignment"];
    let (targets, weights) = (aligned["target"].as_array().unwrap(), aligned["weights"].as_array().unwrap());
    assert_eq!(targets.len(), weights.len());
    let width = aligned["source"].as_array().unwrap().len();
    assert!(weights.iter().all(|row| row.as_array().unwrap().len() == width));

    let refused =
        |body: Value, param: &str| server.refused("/v1/predict", &body.to_string(), 400, Some(param));
    let broken = refused(json!({"model": "forecaster", "input": "a,b\nx,y\n"}), "input");
    assert!(!broken.contains("/tmp"), "{broken}");
    refused(json!({"model": "classifier"}), "input");
    refused(json!({"model": "classifier", "input": "ab", "beams": 2}), "beams");
    refused(json!({"model": "classifier", "input": "ab", "format": "xls"}), "format");
    refused(json!({"model": "classifier", "input": "ab c", "format": "conll"}), "format");
    let text = refused(json!({"model": "classifier", "input": "text\nab\n", "format": "csv"}), "format");
    assert!(text.contains("the model reads texts"), "{text}");
    let text = refused(json!({"model": "forecaster", "input": table, "format": "ts"}), "format");
    assert!(text.contains("expected csv, tsv or jsonl"), "{text}");
    let text = refused(json!({"model": "forecaster", "input": "step\n1\n"}), "input");
    assert!(text.contains("has no `value`") && text.contains("add it"), "{text}");
    for more in ["", r#", "prompt": "ab", "echo": true, "logprobs": 1"#] {
        let body = format!(r#"{{"model": "classifier"{more}}}"#);
        let text = server.refused("/v1/completions", &body, 400, Some("model"));
        assert!(text.contains("its task is classify; only a language model writes"), "{text}");
    }
    let none = server.refused("/v1/predict", r#"{"input": "ab"}"#, 400, Some("model"));
    assert_eq!(none, "model: is missing; expected one of classifier, translator, forecaster, of_stores");
}

/// The history of each forecast of a table.
fn histories(server: &Server, body: &Value) -> Vec<Value> {
    let answer = server.ask("/v1/predict", body);
    answer["data"].as_array().unwrap().iter().map(|forecast| forecast["history"].clone()).collect()
}

#[test]
fn forecasts_come_with_the_values_of_their_own_row_of_a_wide_table() {
    let folder = Folder::new();
    let row = |name: usize| {
        let values: Vec<String> = (0..40).map(|step| (10 * name + step % 6 + 1).to_string()).collect();
        format!("s{name},{}\n", values.join(","))
    };
    let header: Vec<String> = (0..=40).map(|at| format!("V{at}")).collect();
    folder.write("wide.csv", format!("{}\n{}", header.join(","), (0..3).map(row).collect::<String>()));
    let flags = format!("--task forecast --wide --season 6 --horizon 2 --window 8 {TINY_SEQUENCES}");
    folder.done(&format!("train gru --data wide.csv --out m {flags}"));
    let server = Server::start(&folder, "m");
    // Another delimiter, a quoted name with it, a series that is short, and a gap.
    let table =
        "name;V1;V2;V3;V4;V5;V6;V7;V8\n\"a;b\";1;2;3;4;5;6;7;8\nc;10;20;30;40;;60;70;\nd;5.5;6;;;;;;\n";
    let found = histories(&server, &json!({ "input": table }));
    let expected = [
        json!([3., 4., 5., 6., 7., 8.]),
        json!([20., 30., 40., null, 60., 70.]),
        json!([5.5, 6.]), // the whole series
    ];
    assert_eq!(found, expected);
    // The command prints none.
    folder.write("new.csv", table);
    assert!(lines(&folder.done("predict m --data new.csv --json"))[0].get("history").is_none());
}

#[test]
fn forecasts_come_with_the_values_of_their_own_series_and_column_of_a_long_table() {
    let folder = Folder::new();
    let date = |day: usize| format!("2021-{:02}-{:02}", 2 + day / 28, 1 + day % 28);
    let row = |at: usize| {
        let (day, base) = (at / 2, 200 * (at % 2));
        let x = if at == 100 { String::new() } else { (base + day).to_string() };
        format!("{},{},{x},{}\n", date(day), ["a", "b"][at % 2], base + 100 + day)
    };
    let table = format!("date,store,x,y\n{}", (0..2 * 56).map(row).collect::<String>());
    folder.write("stores.csv", &table);
    let flags = format!("--series-column store --target x,y --horizon 3 --window 8 {TINY_SEQUENCES}");
    folder.done(&format!("train gru --task forecast --data stores.csv --out m {flags}"));
    let server = Server::start(&folder, "m");
    let values = |from: usize| json!((from..from + 9).map(|value| value as f64).collect::<Vec<_>>());
    let mut expected = [values(47), values(147), values(247), values(347)];
    expected[0][3] = Value::Null;
    let answer = server.ask("/v1/predict", &json!({ "input": table }));
    let names: Vec<_> =
        answer["data"].as_array().unwrap().iter().map(|one| (&one["series"], &one["target"])).collect();
    let name = |name: &str| json!(name);
    let [a, b, x, y] = ["a", "b", "x", "y"].map(name);
    assert_eq!(names, [(&a, &x), (&a, &y), (&b, &x), (&b, &y)]);
    assert_eq!(histories(&server, &json!({ "input": table })), expected);
    let tabs = json!({ "input": table.replace(',', "\t"), "format": "tsv" });
    assert_eq!(histories(&server, &tabs), expected);
    // The history ends before the first step of the forecast.
    let at = json!({ "input": table, "at": date(48) });
    assert_eq!(histories(&server, &at), [values(39), values(139), values(239), values(339)]);
}

#[test]
fn long_text_is_refused_by_the_server_and_counted_once_by_the_command() {
    let folder = Folder::new();
    folder.done(&format!("train gru --task translate --data builtin:dates --out m {TINY_SEQUENCES}"));
    let server = Server::start(&folder, "m");
    let ask = |letters: usize| json!({ "input": ["3 may 1999", "1".repeat(letters)] });
    // With the token that ends it.
    let answers = server.ask("/v1/predict", &ask(999));
    assert_eq!(answers["data"].as_array().unwrap().len(), 2);
    for letters in [1000, 5000] {
        let problem = server.refused("/v1/predict", &ask(letters).to_string(), 400, Some("input"));
        assert_eq!(problem, format!("input: has {} tokens; expected at most 1000", letters + 1));
    }
    // Two long texts in different batches of the command.
    let long = "1".repeat(1500);
    folder.write("in.txt", format!("{long}\n{}{long}\n", "3 may 1999\n".repeat(80)));
    let output = folder.rnn("predict m --data in.txt").output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), 82);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("2 texts of more than 1,000 tokens: cut there\n"), "{said}");
    assert_eq!(said.matches("cut there").count(), 1, "{said}");
}

#[test]
fn words_with_further_columns_are_tagged_as_by_the_command() {
    let folder = Folder::new();
    let sentences: String = (0..40).map(|n| format!("w{} A X\nv B Y\n\n", n % 7)).collect();
    folder.write("words.conll", &sentences);
    let line = format!("--feature-columns 1 --out tagger {TINY_SEQUENCES}");
    folder.done(&format!("train gru --task tag --data words.conll {line}"));
    let server = Server::start(&folder, "tagger");
    let words = "w1 A\nv B\n\nv B\n";
    folder.write("questions.conll", words);
    let expected = lines(&folder.done("predict tagger --data questions.conll --json"));
    let found = server.ask("/v1/predict", &json!({"input": words, "format": "conll"}));
    assert_eq!((&found["data"], expected.len()), (&json!(expected), 2));
    assert_eq!(found["data"][0]["tokens"], json!(["w1", "v"]));
    assert_eq!(server.get("/props").json()["models"][0]["columns"], json!(["1"]));
    let plain = server.refused("/v1/predict", r#"{"input": "w1 v"}"#, 400, Some("format"));
    assert!(plain.contains("also reads column 1 of each word; set \"format\" to \"conll\""), "{plain}");
    let short =
        server.refused("/v1/predict", r#"{"input": "w1\nv\n", "format": "conll"}"#, 400, Some("input"));
    assert!(!short.contains("/tmp") && !short.contains(".tmp"), "{short}");
}

#[test]
fn scores_are_those_of_the_command() {
    let folder = Folder::with_model();
    let server = Server::start(&folder, "m");
    folder.write("lines.txt", "the cat\na dog by us\n");
    let expected = lines(&folder.done("score m lines.txt --json --tokens"));
    let body = json!({"input": ["the cat", "a dog by us"], "tokens": true});
    assert_eq!(server.ask("/v1/score", &body)["data"], json!(expected));

    // What a text costs when it is inspected is what it costs when it is scored.
    let inspected = server.ask("/v1/inspect", &json!({"input": "the cat"}));
    let bits: Vec<f64> = serde_json::from_value(inspected["bits"].clone()).unwrap();
    assert_eq!((bits.len(), inspected["tokens"][4].as_str()), (7, Some("c")));
    for (at, bits) in bits.iter().enumerate() {
        let nats = expected[0]["token_logprobs"][at].as_f64().unwrap();
        assert!((bits * std::f64::consts::LN_2 + nats).abs() < 1e-6, "{at}: {bits} bits, {nats} nats");
    }
    let units = inspected["units"].as_array().unwrap();
    assert_eq!((units.len(), units[0].as_array().unwrap().len()), (8, 7));
    let within = |value: &Value| (-1000..=1000).contains(&value.as_i64().unwrap());
    assert!(units.iter().all(|unit| unit.as_array().unwrap().iter().all(within)));
    assert!(units.iter().any(|unit| unit[0] != unit[6]));
    server.refused("/v1/inspect", r#"{"input": ""}"#, 400, Some("input"));

    // The gates of an LSTM's unit give the value of the unit.
    let gates = server.ask("/v1/inspect", &json!({"input": "the cat", "unit": 5}))["gates"].clone();
    let gates: BTreeMap<String, Vec<f64>> = serde_json::from_value(gates).unwrap();
    let names: Vec<&str> = gates.keys().map(String::as_str).collect();
    assert_eq!(names, ["candidate", "cell", "forget", "input", "output"]);
    for at in 0..7 {
        let value = gates["output"][at] * gates["cell"][at].tanh();
        let expected = units[5][at].as_f64().unwrap() / 1000.;
        assert!((value - expected).abs() < 1e-3, "{at}: {value} {expected}");
    }
    let beyond = server.refused("/v1/inspect", r#"{"input": "a", "unit": 8}"#, 400, Some("unit"));
    assert_eq!(beyond, "unit: is 8; expected 0 to 7");
}

#[test]
fn series_are_classified() {
    let folder = Folder::new();
    let rows = |n: usize| {
        let (x, class) = (n % 2, ["up", "down"][n % 2]);
        format!("s{n},{x},0,{class}\ns{n},{x},1,{class}\n")
    };
    let table = format!("id,x,y,class\n{}", (0..40).map(rows).collect::<String>());
    folder.write("train.csv", &table);
    folder.done(&format!(
        "train gru --data train.csv --series-column id --label-column class --out m {TINY_SEQUENCES}"
    ));
    folder.write("new.csv", "y,id,x\n1,p,2\n2,p,3\n1,q,1\n");
    let expected = lines(&folder.done("predict m --data new.csv --json"));
    let server = Server::start(&folder, "m");
    let answers = server.ask("/v1/predict", &json!({"input": "y,id,x\n1,p,2\n2,p,3\n1,q,1\n"}));
    assert_eq!(answers["data"], json!(expected));
    assert_eq!(answers["data"][1]["series"], "q");
    let series = "@problemName x\n@dimensions 2\n@classLabel true up down\n@data\n2,3:1,2:up\n";
    let answer = server.ask("/v1/predict", &json!({"input": series, "format": "ts"}));
    assert_eq!(answer["data"].as_array().unwrap().len(), 1);
    server.refused("/v1/predict", r#"{"input": "y,id\n1,p\n"}"#, 400, Some("input"));
    // Another table names its series in another column.
    let other = json!({"input": "y,x,name\n1,2,p\n2,3,p\n1,1,q\n", "series_column": "name"});
    assert_eq!(server.ask("/v1/predict", &other)["data"], json!(expected));
    let body = r#"{"input": "y,x,name\n1,2,p\n", "series_column": "id"}"#;
    let missing = server.refused("/v1/predict", body, 400, Some("input"));
    assert!(
        missing.contains("has no `id` (columns: y, x, name); choose one with `series_column`"),
        "{missing}"
    );
    let body = json!({"input": series, "format": "ts", "series_column": "id"}).to_string();
    let useless = server.refused("/v1/predict", &body, 400, Some("series_column"));
    assert!(useless.contains("names a column of a table"), "{useless}");
}

#[test]
fn converted_classifier_of_series_reads_a_table_whose_columns_are_numbers() {
    let folder = Folder::new();
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/keras/own-lstm.keras");
    folder.write("own-lstm.keras", std::fs::read(golden).unwrap());
    folder.write("labels.txt", "z\ny\nx\n");
    folder.done("convert own-lstm.keras --out m --labels labels.txt");
    let table = "series,1,2,3,4\na,0,1,0,1\na,1,0,1,0\nb,2,2,2,2\n";
    folder.write("new.csv", table);
    let expected = lines(&folder.done("predict m --data new.csv --series-column series --json"));
    assert_eq!(expected.len(), 2);
    let server = Server::start(&folder, "m");
    let answers = server.ask("/v1/predict", &json!({"input": table, "series_column": "series"}));
    assert_eq!(answers["data"], json!(expected));
    let body = json!({ "input": table }).to_string();
    let unnamed = server.refused("/v1/predict", &body, 400, Some("series_column"));
    let problem = "series_column: the request's data is a table; name the column that holds the series";
    assert_eq!(unnamed, problem);
}

#[test]
fn server_describes_itself() {
    let folder = Folder::with_model();
    assert_eq!(Server::start(&folder, "m").get("/v1/runs").status, 404);
    let server = Server::start(&folder, "m --streams 3 --runs .");
    let runs = server.get("/v1/runs").json();
    assert_eq!((&runs["data"][0]["name"], runs["data"].as_array().unwrap().len()), (&json!("m"), 1));
    assert_eq!(runs["data"][0]["settings"]["hidden"], 8);
    assert_eq!(runs["data"][0]["writes"], true);
    let sample = server.get("/v1/runs/sample?run=m");
    let written = folder.done("generate m --length 200 --temperature 0.8 --seed 1");
    assert_eq!(sample.json()["text"].as_str().unwrap().to_owned() + "\n", written);
    folder.write("c/metrics.jsonl", "{}\n");
    for (run, status) in [("no", 404), ("../m", 404), ("c", 400)] {
        assert_eq!(server.get(&format!("/v1/runs/sample?run={run}")).status, status, "{run}");
    }
    assert_eq!(server.get("/v1/runs/sample").status, 400);
    assert!(runs["data"][0]["reports"][0]["loss"].is_f64());
    assert_eq!(server.get("/health").json(), json!({"status": "ok"}));
    let models = server.get("/v1/models").json();
    assert_eq!((&models["object"], &models["data"][0]["id"]), (&json!("list"), &json!("m")));
    assert_eq!(models["data"][0]["task"], "lm");
    let created = models["data"][0]["created"].as_u64().unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert!((now - 3600..=now).contains(&created), "{created}");
    assert_eq!(server.get("/v1/models/m").json(), models["data"][0]);
    assert_eq!(server.get("/v1/models/x").status, 404);
    // A bundle of the hub has a slash in its name.
    let slash = server.get("/v1/models/me/my-gru").json();
    assert_eq!(slash["error"]["code"], "model_not_found", "{slash}");
    let foreign = server.get("/v1/models/%FF");
    assert_eq!((foreign.status, &foreign.json()["error"]["param"]), (400, &json!("model")));
    assert_eq!(runs["truncated"], false);
    let props = server.get("/props").json();
    assert_eq!((&props["limits"]["streams"], &props["models"][0]["id"]), (&json!(3), &json!("m")));
    assert_eq!(props["models"][0]["network"]["rnn"]["hidden_size"], 8);
    server.ask("/v1/completions", &json!({"prompt": "the", "max_tokens": 7}));
    server.post("/v1/completions", "{");
    let count = |status| {
        server.metric(&format!("rnn_requests_total{{route=\"/v1/completions\",status=\"{status}\"}}"))
    };
    assert_eq!((count(200), count(400)), (1., 1.));
    assert_eq!(server.metric("rnn_tokens_total{kind=\"completion\",model=\"m\"}"), 7.);
    assert_eq!(server.metric("rnn_tokens_total{kind=\"prompt\",model=\"m\"}"), 3.);
    assert_eq!(server.metric("rnn_first_token_seconds_count"), 1.);
    assert_eq!(server.metric("rnn_batch_size_count"), 7.);
    let other = server.get("/no/such/route");
    assert_eq!((other.status, other.json()["error"]["type"].as_str()), (404, Some("invalid_request_error")));
    assert_eq!(server.get("/v1/score").status, 405);
}
