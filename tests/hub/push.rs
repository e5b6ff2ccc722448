//! `rnn push` against a local server.

use std::process::Output;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::remote::{PART, Remote, State};
use super::server::{Reply, Server};
use crate::cli::Folder;

/// A folder with the bundle `m`, and a server with the repository `me/lstm`.
struct Case {
    folder: Folder,
    remote: Remote,
}

impl Case {
    fn new(state: State) -> Self {
        Self { folder: Folder::with_model(), remote: Remote::new(state) }
    }

    /// A repository that exists without files.
    fn empty() -> Self {
        Self::new(State { exists: true, ..State::default() })
    }

    fn run(&self, line: &str) -> Output {
        self.run_with(line, &[("HF_TOKEN", "secret")])
    }

    fn run_with(&self, line: &str, variables: &[(&str, &str)]) -> Output {
        let mut command = self.folder.rnn(line);
        command.env("HF_ENDPOINT", &self.remote.server.url).env("HF_HOME", self.folder.path("home"));
        for name in ["HF_TOKEN", "HF_TOKEN_PATH", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_CACHE", "HF_HUB_OFFLINE"]
        {
            command.env_remove(name);
        }
        command.envs(variables.iter().copied()).output().unwrap()
    }

    /// Run a command that succeeds; return what it prints.
    fn done(&self, line: &str) -> (String, String) {
        let output = self.run(line);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let (answer, notes) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{line}: {notes}");
        (answer, notes)
    }

    /// Run a command that fails with one line; return it.
    fn refused(&self, line: &str) -> String {
        let output = self.run(line);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), error.lines().count()), (Some(1), 1), "{line}: {error}");
        assert!(
            output.stdout.is_empty() && !error.contains("secret") && !error.contains("hidden"),
            "{error}"
        );
        error
    }

    fn instead(&self, path: &str, replies: &[Reply]) {
        self.remote.state.lock().unwrap().instead.insert(path.into(), replies.to_vec());
    }

    fn commits(&self) -> Vec<(String, String)> {
        self.remote.state.lock().unwrap().commits.clone()
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.folder.path(name)).unwrap()
    }
}

const CREATE: &str = "/api/repos/create";
const COMMIT_MAIN: &str = "/api/models/me/lstm/commit/main";

#[test]
fn bundle_is_one_commit_and_comes_back() {
    let case = Case::new(State::default());
    let before = case.read("m/README.md");
    let (answer, notes) = case.done("push m me/lstm --private --license mit --message first");
    assert_eq!(answer, "https://hub/me/lstm/commit/1\n");
    assert!(notes.contains("files to me/lstm@main: config.json"), "{notes}");
    assert_eq!(case.commits(), [("main".to_string(), "first".to_string())]);
    assert_eq!(case.read("m/README.md"), before, "the bundle on disk does not change");
    {
        let state = case.remote.state.lock().unwrap();
        assert!(state.private);
        for name in
            ["config.json", "model.safetensors", "tokenizer.json", "training/state.json", "recipe.toml"]
        {
            assert!(state.files[name] == case.read(&format!("m/{name}")), "{name}");
        }
        let card = String::from_utf8(state.files["README.md"].clone()).unwrap();
        assert!(
            card.starts_with("---\nlicense: mit\nlibrary_name: rnn-zoo\npipeline_tag: text-generation\n"),
            "{card}"
        );
        assert!(card.ends_with(&format!("---\n\n{}", String::from_utf8(before).unwrap())), "{card}");
    }
    assert!(
        case.remote.server.requests().iter().all(|it| it.header("authorization") == Some("Bearer secret"))
    );

    // The same again is no commit.
    let (answer, notes) = case.done("push m me/lstm --private --license mit");
    assert_eq!(answer, format!("{}/me/lstm\n", case.remote.server.url));
    assert!(notes.contains("has this bundle already"), "{notes}");
    assert_eq!(case.commits().len(), 1);
}

#[test]
fn files_of_another_bundle_are_removed_and_others_stay() {
    let files = ["SHA256SUMS", "notes.txt", "config.json"].map(|name| (name.to_string(), b"old".to_vec()));
    let case = Case::new(State { exists: true, files: files.into(), ..State::default() });
    let (_, notes) = case.done("push m me/lstm");
    assert!(notes.contains("removed from me/lstm@main, as this bundle lacks them: SHA256SUMS"), "{notes}");
    let state = case.remote.state.lock().unwrap();
    assert!(!state.files.contains_key("SHA256SUMS") && state.files["notes.txt"] == b"old");
    assert_ne!(state.files["config.json"], b"old");
}

#[test]
fn exported_bundle_has_checksums_of_the_card_that_is_pushed() {
    let case = Case::empty();
    case.folder.done("export m --out slim");
    case.done("push slim me/lstm");
    let state = case.remote.state.lock().unwrap();
    let out = case.folder.path("copy");
    for (name, bytes) in &state.files {
        case.folder.write(&format!("copy/{name}"), bytes);
    }
    let sums =
        std::process::Command::new("sha256sum").args(["--check", "SHA256SUMS"]).current_dir(&out).output();
    let Ok(sums) = sums else { return };
    assert!(sums.status.success(), "{sums:?}");
}

#[test]
fn branch_is_made_and_named() {
    let case = Case::empty();
    case.done("push m me/lstm --revision v2");
    assert_eq!(case.commits(), [("v2".to_string(), "Push m with rnn-zoo".to_string())]);
    assert_eq!(case.remote.state.lock().unwrap().branches, ["v2"]);
    // A reference is not made.
    let error = case.refused("push m me/lstm --revision refs/pr/1");
    assert!(error.contains("not found (404) (Invalid rev id)"), "{error}");
}

#[test]
fn cut_upload_is_repeated() {
    for in_parts in [false, true] {
        let case = Case::new(State { exists: true, in_parts, ..State::default() });
        case.remote.server.cut_uploads(2);
        case.done("push m me/lstm");
        let state = case.remote.state.lock().unwrap();
        assert!(state.files["model.safetensors"] == case.read("m/model.safetensors"));
        let puts: Vec<String> =
            case.remote.log().into_iter().filter(|line| line.starts_with("PUT ")).collect();
        // At least three attempts for the first address.
        assert!(puts[0] == puts[1] && puts[1] == puts[2], "{puts:?}");
        if in_parts {
            assert!(puts.iter().any(|put| put.contains("/part/2")), "more than {PART} bytes");
        }
    }
}

#[test]
fn upload_that_stays_cut_is_an_error_without_a_commit() {
    let case = Case::empty();
    case.remote.server.cut_uploads(100);
    let error = case.refused("push m me/lstm");
    assert!(error.contains("/store/whole/") && error.contains("the connection failed"), "{error}");
    assert_eq!(case.commits(), []);
}

#[test]
fn storage_gets_no_token() {
    let stored = Remote::new(State { exists: true, ..State::default() });
    let case = Case::empty();
    case.remote.state.lock().unwrap().storage = stored.server.url.clone();
    // The hub verifies what the other host stores: here it trusts.
    case.folder.done("export m --out slim");
    let model = case.read("slim/model.safetensors");
    let oid: String = Sha256::digest(&model).iter().map(|byte| format!("{byte:02x}")).collect();
    case.instead(&format!("/store/verify/{oid}"), &[Reply::new("200 OK", "{}")]);
    case.instead(COMMIT_MAIN, &[Reply::new("409 Conflict", "")]);
    let error = case.refused("push slim me/lstm");
    assert!(error.contains("conflict (409)"), "{error}");
    let requests = stored.server.requests();
    assert!(!requests.is_empty() && requests.iter().all(|request| request.header("authorization").is_none()));
    assert!(stored.state.lock().unwrap().store[&oid] == model);
}

#[test]
fn refusals_name_the_address_and_the_remedy() {
    let status = |status, reason: &str| [Reply::new(status, format!("{{\"error\": \"{reason}\"}}"))];
    let case = Case::empty();
    for (path, replies, mentions) in [
        (
            CREATE,
            status("401 Unauthorized", "Invalid token"),
            ["(401) (Invalid token)", "set HF_TOKEN to a token"],
        ),
        (
            COMMIT_MAIN,
            status("403 Forbidden", "no rights"),
            ["(403) (no rights)", "may not write to me/lstm"],
        ),
        (COMMIT_MAIN, status("409 Conflict", "a newer commit"), ["(409) (a newer commit)", "push again"]),
        (COMMIT_MAIN, status("412 Precondition Failed", ""), ["conflict (412)", "push again"]),
        (COMMIT_MAIN, status("404 Not Found", "gone"), ["not found (404) (gone)", "check owner, name"]),
        (COMMIT_MAIN, status("503 Service Unavailable", "later"), ["status 503 (later)", COMMIT_MAIN]),
    ] {
        case.instead(path, &replies);
        let error = case.refused("push m me/lstm");
        assert!(error.contains(path) && mentions.iter().all(|part| error.contains(part)), "{path}: {error}");
    }
    assert_eq!(case.commits(), []);
}

#[test]
fn file_that_gitignore_leaves_out_is_an_error() {
    let ignored = vec!["model.safetensors".to_string()];
    let case = Case::new(State { exists: true, ignored, ..State::default() });
    let error = case.refused("push m me/lstm");
    assert!(error.contains("model.safetensors") && error.contains(".gitignore"), "{error}");
    assert_eq!(case.commits(), []);
}

#[test]
fn owner_who_may_only_write_pushes_to_what_exists() {
    let case = Case::empty();
    let forbidden = Reply::new("403 Forbidden", r#"{"error": "may not create"}"#);
    case.instead(CREATE, std::slice::from_ref(&forbidden));
    case.done("push m me/lstm");
    let case = Case::new(State::default());
    case.instead(CREATE, &[forbidden]);
    let error = case.refused("push m me/lstm");
    assert!(error.contains("(403) (may not create)"), "{error}");
}

#[test]
fn public_repository_is_not_taken_for_a_private_one() {
    let case = Case::empty();
    let error = case.refused("push m me/lstm --private");
    assert!(error.contains("exists and is public") && error.contains("leave --private out"), "{error}");
    assert_eq!(case.commits(), []);
}

#[test]
fn server_that_is_busy_is_asked_again_after_its_time() {
    let case = Case::empty();
    let busy =
        |seconds: u64| Reply::new("429 Too Many Requests", "").with("Retry-After", seconds.to_string());
    case.instead(COMMIT_MAIN, &[busy(1)]);
    case.done("push m me/lstm");
    assert_eq!(case.commits().len(), 1);
    case.instead(CREATE, &[busy(3600)]);
    let error = case.refused("push m me/lstm");
    assert!(error.contains("(429)") && error.contains("in 3600 seconds"), "{error}");
}

#[test]
fn nothing_is_sent_without_a_token_or_offline() {
    let case = Case::empty();
    for (variables, mention) in [
        (&[][..], "set HF_TOKEN to one that may write"),
        (&[("HF_TOKEN", "secret"), ("HF_HUB_OFFLINE", "1")], "HF_HUB_OFFLINE is set"),
        (&[("HF_TOKEN", "sec ret")], "HF_TOKEN: has a space"),
    ] {
        let output = case.run_with("push m me/lstm", variables);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(error.lines().count() == 1 && error.contains(mention), "{error}");
    }
    assert_eq!(case.remote.log(), Vec::<String>::new());
    // The file that Python's tools write.
    case.folder.write("home/token", "from-file\n");
    assert!(case.run_with("push m me/lstm", &[]).status.success());
    let requests = case.remote.server.requests();
    assert!(requests.iter().all(|request| request.header("authorization") == Some("Bearer from-file")));
}

#[test]
fn wrong_arguments_and_bundles_send_nothing() {
    let case = Case::empty();
    case.folder.refused("push m lstm", 2, &["OWNER/NAME", "`lstm` is no name on the hub"]);
    case.folder.refused("push m me/.. ", 2, &["OWNER/NAME"]);
    case.folder.refused("push m me/lstm --revision ../x", 2, &["--revision", "expected a branch"]);
    let error = case.refused("push none me/lstm");
    assert!(error.contains("none: there is no bundle here"), "{error}");
    let error = case.refused("push hf://me/other me/lstm");
    assert!(error.contains("is on the hub; expected the folder of a bundle"), "{error}");
    let output = case.run("push m me/lstm --license MIT");
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    case.folder.write("m/model.safetensors", "broken");
    let error = case.refused("push m me/lstm");
    assert!(error.contains("m/model.safetensors"), "{error}");
    assert_eq!(case.remote.log(), Vec::<String>::new());
}

#[test]
fn answers_of_another_server_are_described() {
    let server = Server::new(|_| Reply::new("200 OK", "<html>a page</html>"));
    let case = Case::empty();
    let output = case.run_with("push m me/lstm", &[("HF_TOKEN", "secret"), ("HF_ENDPOINT", &server.url)]);
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(
        error.contains("does not answer like the Hugging Face hub") && error.lines().count() == 1,
        "{error}"
    );
    for endpoint in ["nonsense", "http://", "ftp//x y"] {
        let output = case.run_with("push m me/lstm", &[("HF_TOKEN", "secret"), ("HF_ENDPOINT", endpoint)]);
        assert_eq!(output.status.code(), Some(1), "{endpoint}: {output:?}");
    }
}

#[test]
fn card_of_the_hub_keeps_its_metadata() {
    let case = Case::empty();
    let card = "---\nlicense: mit\nlanguage: en\n---\n# mine\n";
    case.folder.write("m/README.md", card);
    let pushed = |case: &Case| {
        String::from_utf8(case.remote.state.lock().unwrap().files["README.md"].clone()).unwrap()
    };
    case.done("push m me/lstm");
    assert_eq!(pushed(&case), card);
    case.done("push m me/lstm --license cc0-1.0");
    assert_eq!(pushed(&case), "---\nlicense: cc0-1.0\nlanguage: en\n---\n# mine\n");
}

#[test]
fn metadata_has_the_scores_of_the_saved_parameters() {
    let case = Case::empty();
    case.done("push m me/lstm");
    let card = String::from_utf8(case.remote.state.lock().unwrap().files["README.md"].clone()).unwrap();
    let reports = String::from_utf8(case.read("m/metrics.jsonl")).unwrap();
    let mut reports = reports.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let last = reports.rfind(|report| report["split"] == "valid").unwrap();
    for line in [
        "tags:\n- rnn-zoo\n- candle\n- \"lstm\"\n",
        "metrics:\n- perplexity\n- accuracy\n",
        "model-index:\n- name: \"lstm\"\n  results:\n  - task:\n      type: text-generation\n",
        "    dataset:\n      name: \"text.txt\"\n      type: \"text.txt\"\n      split: validation\n",
        &format!("    - type: perplexity\n      name: Perplexity\n      value: {}\n", last["perplexity"]),
    ] {
        assert!(card.contains(line), "{line}\nin\n{card}");
    }
}
