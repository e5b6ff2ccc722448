//! Imports between the modules of a crate run one way: no two modules import each other, directly or in a circle.

mod graph;
mod modules;

use std::path::Path;

use graph::cycles;
use modules::Modules;

/// The modules of the crate at `root` that import each other: for each circle, its imports.
fn circles(root: &Path) -> Vec<Vec<String>> {
    let modules = Modules::read(root);
    let imports = modules.imports();
    let name = |at: usize| modules.name(at);
    let inside = |circle: &Vec<usize>| {
        let edges = circle.iter().flat_map(|&from| imports[from].iter().map(move |&to| (from, to)));
        edges
            .filter(|(_, to)| circle.contains(to))
            .map(|(from, to)| format!("{} -> {}", name(from), name(to)))
            .collect()
    };
    cycles(&imports).iter().map(inside).collect()
}

#[test]
fn no_modules_import_each_other() {
    let base = Path::new(env!("CARGO_MANIFEST_DIR"));
    let crates = ["models/lib.rs", "src/lib.rs", "src/main.rs"];
    let found: Vec<_> = crates.iter().flat_map(|root| circles(&base.join(root))).collect();
    assert!(found.is_empty(), "modules import each other: {found:#?}");
}

/// The circles in a crate of the given files.
fn circles_of(files: &[(&str, &str)]) -> Vec<Vec<String>> {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    circles(&folder.path().join("lib.rs"))
}

#[test]
fn circles_are_found_through_uses_paths_reexports_and_macros() {
    let root = ("lib.rs", "pub mod a; pub mod b; pub use a::A; pub use b::B;");
    let a = |text| ("a.rs", text);
    let uses_a = ("b.rs", "use crate::a::A; pub struct B(A);");
    for text in [
        "use crate::b::B; pub struct A(Option<Box<B>>);",
        "use super::b::B as Other; pub struct A(Option<Box<Other>>);",
        "use crate::b; pub struct A(Option<Box<b::B>>);",
        "use crate::B; pub struct A(Option<Box<B>>);",
        "pub struct A(Option<Box<crate::B>>);",
        "pub struct A; fn f() { println!(\"{}\", size_of::<crate::b::B>()) }",
        "pub struct A; mod inner { use super::super::b::B; }",
    ] {
        assert_eq!(circles_of(&[root, a(text), uses_a]), [["a -> b", "b -> a"]], "{text}");
    }
    for text in [
        "pub struct A;",
        "pub use crate::b::B; pub struct A;",
        "pub struct A; #[cfg(test)] mod tests { use crate::b::B; }",
    ] {
        assert!(circles_of(&[root, a(text), uses_a]).is_empty(), "{text}");
    }
}

#[test]
fn a_module_and_its_parent_can_be_a_circle() {
    let child = ("a/child.rs", "use super::A; pub struct Child(A);");
    let root = ("lib.rs", "pub mod a;");
    let parent = ("a/mod.rs", "mod child; use child::Child; pub struct A; fn f(_: Child) {}");
    assert_eq!(circles_of(&[root, parent, child]), [["a -> a::child", "a::child -> a"]]);
    let facade = ("a/mod.rs", "mod child; mod own; pub use child::Child; pub use own::A;");
    assert!(circles_of(&[root, facade, child, ("a/own.rs", "pub struct A;")]).is_empty());
}
