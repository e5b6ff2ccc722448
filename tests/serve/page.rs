//! The page as it is sent: whole, from one origin, and with a policy that holds without exceptions.

use super::client::Server;
use crate::cli::Folder;

#[test]
fn page_loads_only_what_the_server_sends() {
    let folder = Folder::with_model();
    let server = Server::start(&folder, "m");
    let page = server.get("/");
    assert!(page.header.contains("content-type: text/html"), "{}", page.header);
    let policy = page.header.lines().find(|line| line.starts_with("content-security-policy:")).unwrap();
    assert!(policy.contains("default-src 'none'") && policy.contains("script-src 'self'"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    // The policy forbids scripts and styles in the text.
    for forbidden in ["<script>", "style=\"", "onclick", "http://", "https://"] {
        assert!(!page.body.contains(forbidden), "{forbidden}");
    }
    let mut files = vec![];
    for attribute in ["src=\"", "href=\""] {
        let found = page.body.split(attribute).skip(1).map(|rest| rest.split('"').next().unwrap());
        files.extend(found.filter(|path| path.starts_with('/')).map(String::from));
    }
    files.sort();
    assert_eq!(files, ["/main.js", "/style.css"]);
    let mut modules = vec!["main.js".to_string()];
    let mut at = 0;
    while let Some(module) = modules.get(at).cloned() {
        let script = server.get(&format!("/{module}"));
        assert!(script.status == 200 && script.header.contains("text/javascript"), "{module}: {script:?}");
        // Text is shown as text.
        for forbidden in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("] {
            assert!(!script.body.contains(forbidden), "{module}: {forbidden}");
        }
        let imports = script.body.split("from \"./").skip(1).map(|rest| rest.split('"').next().unwrap());
        for import in imports {
            if !modules.iter().any(|known| known == import) {
                modules.push(import.to_string());
            }
        }
        at += 1;
    }
    modules.sort();
    assert_eq!(modules, ["api.js", "inspect.js", "main.js", "predict.js", "runs.js", "write.js"]);
    assert!(server.get("/style.css").header.contains("content-type: text/css"));
}
