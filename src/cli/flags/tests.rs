use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::CommandFactory;
use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, ItemMod, LitStr, Macro, Meta};

use super::*;
use crate::cli::Cli;

/// The Rust files of the library, as paths relative to the repository.
fn sources() -> Vec<String> {
    fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("src/cli") {
                collect(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = vec![];
    collect(&root.join("src"), &mut found);
    collect(&root.join("models"), &mut found);
    assert!(found.len() > 100, "{} files", found.len());
    let name = |path: PathBuf| path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
    found.into_iter().map(name).collect()
}

fn source(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// The string literals of the library outside its tests, each with its file.
fn texts() -> Vec<(String, String)> {
    let files = sources().into_iter().filter(|name| !name.ends_with("tests.rs") && !name.contains("/tests/"));
    let in_file = |name: String| {
        literals(&source(&name)).into_iter().map(move |literal| (name.clone(), literal)).collect::<Vec<_>>()
    };
    files.flat_map(in_file).collect()
}

/// The string literals of Rust code, without its documentation and tests.
fn literals(code: &str) -> Vec<String> {
    let mut found = Literals(vec![]);
    found.visit_file(&syn::parse_file(code).unwrap());
    found.0
}

struct Literals(Vec<String>);

impl Literals {
    fn visit_tokens(&mut self, tokens: TokenStream) {
        for token in tokens {
            match token {
                TokenTree::Group(group) => self.visit_tokens(group.stream()),
                TokenTree::Literal(literal) => {
                    self.0
                        .extend(syn::parse_str::<LitStr>(&literal.to_string()).ok().map(|text| text.value()));
                }
                TokenTree::Ident(_) | TokenTree::Punct(_) => {}
            }
        }
    }
}

impl<'ast> Visit<'ast> for Literals {
    /// The texts of errors are in attributes.
    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if let Meta::List(list) = &attribute.meta {
            self.visit_tokens(list.tokens.clone());
        }
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        if item.ident != "tests" {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_lit_str(&mut self, literal: &'ast LitStr) {
        self.0.push(literal.value());
    }

    fn visit_macro(&mut self, call: &'ast Macro) {
        self.visit_tokens(call.tokens.clone());
    }
}

/// The options that texts of the library name, as "option `FIELD`" or "option `FIELD = VALUE`".
fn named_options() -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    for (file, text) in texts() {
        for option in text.split(OPTION).skip(1) {
            let option = option.split('`').next().unwrap().split(" = ").next().unwrap();
            assert!(!option.is_empty(), "{file}: {text}");
            named.insert(option.to_string());
        }
    }
    // The place of a field that is known only at run time: it is a literal elsewhere.
    if named.remove("{field}") {
        let known = |text: &String| FLAGS.iter().any(|(field, _)| field == text && field.contains('.'));
        named.extend(texts().into_iter().map(|(_, text)| text).filter(known));
    }
    named
}

#[test]
fn every_named_option_has_a_flag() {
    let mut fields = named_options();
    for file in sources() {
        for call in source(&file).split("Error::invalid(").skip(1) {
            let literal = call.trim_start().strip_prefix('"').and_then(|rest| rest.split('"').next());
            let problem = format!("{file}: Error::invalid takes the field as a literal");
            fields.insert(literal.expect(&problem).to_string());
        }
    }
    let known: BTreeSet<String> = FLAGS.iter().map(|(field, _)| field.to_string()).collect();
    assert_eq!(fields, known);
}

#[test]
fn every_function_with_a_command_is_recommended() {
    let texts = texts();
    for (function, _) in COMMANDS {
        let quoted = format!("`{function}`");
        assert!(texts.iter().any(|(_, text)| text.contains(&quoted)), "{function}");
    }
}

#[test]
fn library_names_no_flag() {
    let names_flag = |text: &str| {
        // Not the commands of other programs.
        let ours = !text.contains("`cargo build ") && !text.contains("`sha256sum ");
        let flags = text.match_indices("--").filter(|(at, _)| {
            text[at + 2..].starts_with(|next: char| next.is_ascii_lowercase())
                && !text[..*at].ends_with(|before: char| before.is_alphanumeric() || before == '-')
        });
        ours && flags.count() > 0
    };
    for (file, text) in texts() {
        assert!(!names_flag(&text), "{file}: {text}");
    }
}

#[test]
fn library_names_no_command() {
    for (file, text) in texts() {
        let commands = text.match_indices("rnn ").filter(|(at, _)| {
            let word = text[at + 4..].split(|c: char| !c.is_ascii_lowercase()).next().unwrap();
            Cli::command().find_subcommand(word).is_some()
        });
        assert_eq!(commands.count(), 0, "{file}: {text}");
    }
}

#[test]
fn literals_are_found() {
    let code = "/// \"doc\"\nfn f() { let a = \"one \\\n    --two\"; /* \"no\" */ g(r#\"\"three\"\"#, '\"'); h!(x, [\"four\"]); }
                mod tests { const A: &str = \"no\"; }";
    assert_eq!(literals(code), ["one --two", "\"three\"", "four"]);
}

#[test]
fn every_flag_exists() {
    let command = Cli::command();
    let arguments: BTreeSet<String> = command
        .get_subcommands()
        .flat_map(clap::Command::get_arguments)
        .map(|argument| match argument.get_long() {
            Some(long) => format!("--{long}"),
            None => argument.get_value_names().map_or_else(String::new, |names| names[0].to_string()),
        })
        .collect();
    for (field, flags) in FLAGS {
        for flag in flags.split(" and ") {
            let name = flag.split(' ').next().unwrap();
            assert!(arguments.contains(name), "{field}: there is no {flag}");
        }
    }
    for (function, line) in COMMANDS {
        let mut words = line.split(' ').skip(1);
        let name = words.next().unwrap();
        let command = command.find_subcommand(name);
        let command = command.unwrap_or_else(|| panic!("{function}: there is no command {name}"));
        for flag in words.filter_map(|word| word.strip_prefix("--")) {
            let known = command.get_arguments().any(|argument| argument.get_long() == Some(flag));
            assert!(known, "{function}: {name} has no --{flag}");
        }
    }
}

#[test]
fn fields_become_flags() {
    let shown = |error: Error| in_flags(error.into()).to_string();
    assert_eq!(shown(Error::invalid("columns.text", "is missing")), "--text-column: is missing");
    assert_eq!(shown(Error::file("a.csv", "is empty")), "a.csv: is empty");
    let unsuited = Error::Unsuited { model: "lstm-story".into(), problem: "is not a tagger".into() };
    assert!(in_flags(unsuited.into()).is::<Usage>());
}

#[test]
fn options_in_a_problem_become_flags() {
    let shown = |error: Error| in_flags(error.into()).to_string();
    let problem = "is full; choose another option `out` or option `batch_size = 4` option `x.y`, option `";
    let expected = "is full; choose another --out or --batch-size 4 option `x.y`, option `";
    assert_eq!(shown(Error::Message(problem.into())), expected);
    assert_eq!(shown(Error::file("option `out`", problem)), format!("option `out`: {expected}"));
    assert_eq!(shown(Error::invalid("axis", problem)), format!("--x epoch: {expected}"));
    let unsuited = Error::Unsuited { model: "m".into(), problem: problem.into() };
    assert_eq!(shown(unsuited), format!("m: {expected}"));
    assert_eq!(shown(Error::invalid("axis", "use option `axis = step`")), "--x epoch: use --x step");
    let diverged = Error::Diverged { step: 3, what: "loss", value: f64::INFINITY, learning_rate: 0.5 };
    assert!(
        shown(diverged)
            .ends_with("at learning rate 5.000e-1; try a smaller --lr, or limit the gradient with --clip")
    );
}

#[test]
fn functions_become_commands() {
    let shown = |error: Error| in_flags(error.into()).to_string();
    let problem = "`Run::start` makes one, `Run::start_from` another";
    let expected = "a: `rnn train lstm --out BUNDLE` makes one, `rnn train --from BUNDLE` another";
    assert_eq!(shown(Error::file("a", problem)), expected);
}
