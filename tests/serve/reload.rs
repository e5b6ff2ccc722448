//! A bundle that is replaced on disk takes over without a dropped request; a broken one does not.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use super::client::Server;
use crate::cli::{Folder, TINY};

#[test]
fn replaced_bundle_takes_over_and_a_broken_one_is_refused() {
    let folder = Folder::with_model();
    let server = Server::start(&folder, "m");
    let body = json!({"prompt": "the", "max_tokens": 40, "seed": 1});
    let text = || server.ask("/v1/completions", &body)["choices"][0]["text"].as_str().unwrap().to_string();
    let fingerprint = || server.get("/v1/models/m").json()["fingerprint"].clone();
    let (old, old_text) = (fingerprint(), text());
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // A client asks without a pause; `ask` asserts that every request is answered.
        let client = scope.spawn(|| {
            let mut count = 0;
            while !stop.load(Ordering::Relaxed) {
                text();
                count += 1;
            }
            count
        });
        folder.done(&format!("train lstm --data text.txt --out m --seed 5 --force {TINY}"));
        server.until("the new bundle is served", || fingerprint() != old);
        stop.store(true, Ordering::Relaxed);
        assert!(client.join().unwrap() > 0);
    });
    let (new, new_text) = (fingerprint(), text());
    assert_ne!(new_text, old_text);
    assert_eq!(format!("the{new_text}\n"), folder.done("generate m --prompt the --length 40 --seed 1"));

    folder.write("m/model.safetensors", "not tensors");
    // Two looks at the files later.
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert_eq!((fingerprint(), text()), (new, new_text));
}
