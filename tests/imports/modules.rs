//! The modules of a crate and the imports between them.
//!
//! A module is a file; inline modules belong to their file. An import is a `use` or a path that leads to an item
//! defined in another module. A path through a re-export (`pub use`) leads to the module that defines the item, and
//! the re-export itself is no import. Test modules are left out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use syn::punctuated::Punctuated;
use syn::visit::{self, Visit};
use syn::{Attribute, Expr, File, Item, ItemMod, ItemUse, Macro, Token, UseTree, Visibility};

/// As many re-exports may follow one another.
const MOST_REEXPORTS: usize = 16;

/// The modules of a crate; the first is its root.
pub struct Modules(Vec<Module>);

struct Module {
    /// The path from the crate's root.
    path: Vec<String>,
    syntax: File,
    /// Child modules in files of their own.
    children: BTreeMap<String, usize>,
    /// Names that stand for other paths: re-exports and private imports.
    aliases: BTreeMap<String, Vec<String>>,
}

impl Modules {
    /// Parse the crate whose root file is `root`.
    pub fn read(root: &Path) -> Self {
        let mut modules = Self(vec![]);
        let folder = root.parent().unwrap();
        modules.add(root, folder, &[]);
        modules
    }

    /// The module's path from the root, such as `layers::stack`.
    pub fn name(&self, at: usize) -> String {
        match self.0[at].path.as_slice() {
            [] => "the root".into(),
            path => path.join("::"),
        }
    }

    /// The modules that each module imports.
    pub fn imports(&self) -> Vec<BTreeSet<usize>> {
        (0..self.0.len())
            .map(|at| {
                let mut found = Paths { depth: 0, paths: vec![] };
                found.visit_file(&self.0[at].syntax);
                let targets = found.paths.iter().filter_map(|path| self.target(at, path, MOST_REEXPORTS));
                targets.filter(|&target| target != at).collect()
            })
            .collect()
    }

    /// Add the module of `file`, whose child modules lie in `folder`, and all modules below.
    fn add(&mut self, file: &Path, folder: &Path, path: &[String]) -> usize {
        let text =
            std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let syntax = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let mut aliases = BTreeMap::new();
        let mut names = vec![];
        for item in &syntax.items {
            match item {
                Item::Use(item) if !is_test(&item.attrs) => {
                    add_aliases(&item.tree, &mut vec![], &mut aliases);
                }
                Item::Mod(item) if item.content.is_none() && !is_test(&item.attrs) => {
                    names.push(item.ident.to_string());
                }
                _ => {}
            }
        }
        let at = self.0.len();
        self.0.push(Module { path: path.to_vec(), syntax, children: BTreeMap::new(), aliases });
        for name in names {
            let inner = folder.join(&name);
            let candidates = [folder.join(format!("{name}.rs")), inner.join("mod.rs")];
            let file: &PathBuf = candidates.iter().find(|file| file.exists()).expect("a file for each `mod`");
            let child = self.add(file, &inner, &[path, std::slice::from_ref(&name)].concat());
            self.0[at].children.insert(name, child);
        }
        at
    }

    /// The module that defines the item at the end of a path in the module `at`; `None` for another crate's item and
    /// for a module itself.
    fn target(&self, at: usize, path: &[String], reexports: usize) -> Option<usize> {
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => self.descend(0, rest, reexports),
            "self" => self.descend(at, rest, reexports),
            "super" => self.descend(self.parent(at)?, rest, reexports),
            name if self.0[at].children.contains_key(name) || self.0[at].aliases.contains_key(name) => {
                self.descend(at, path, reexports)
            }
            _ => None, // another crate, or an item of this module
        }
    }

    /// The module that defines the item which `path` names inside the module `at`.
    fn descend(&self, at: usize, path: &[String], reexports: usize) -> Option<usize> {
        let (first, rest) = path.split_first()?;
        let module = &self.0[at];
        if first == "super" {
            self.descend(self.parent(at)?, rest, reexports)
        } else if let Some(&child) = module.children.get(first) {
            self.descend(child, rest, reexports)
        } else if let Some(alias) = module.aliases.get(first) {
            // A name that stands for itself, as in `use serde::Serialize; use serde;`, would not end.
            let reexports = reexports.checked_sub(1)?;
            self.target(at, &[alias.as_slice(), rest].concat(), reexports)
        } else {
            Some(at)
        }
    }

    fn parent(&self, at: usize) -> Option<usize> {
        let (_, parent) = self.0[at].path.split_last()?;
        self.0.iter().position(|module| module.path == parent)
    }
}

/// Add the names that a `use` brings, each with the path that it stands for.
fn add_aliases(tree: &UseTree, prefix: &mut Vec<String>, aliases: &mut BTreeMap<String, Vec<String>>) {
    for (name, path) in leaves(tree, prefix) {
        if name != "*" && path.len() > 1 {
            aliases.insert(name, path);
        }
    }
}

/// The names that a `use` brings, each with its whole path; `*` for all names of a module.
fn leaves(tree: &UseTree, prefix: &mut Vec<String>) -> Vec<(String, Vec<String>)> {
    let path = |last: &str, prefix: &[String]| match last {
        "self" => prefix.to_vec(),
        last => [prefix, &[last.to_string()]].concat(),
    };
    match tree {
        UseTree::Path(tree) => {
            prefix.push(tree.ident.to_string());
            let found = leaves(&tree.tree, prefix);
            prefix.pop();
            found
        }
        UseTree::Name(tree) => {
            let path = path(&tree.ident.to_string(), prefix);
            vec![(path.last().cloned().unwrap_or_default(), path)]
        }
        UseTree::Rename(tree) => vec![(tree.rename.to_string(), path(&tree.ident.to_string(), prefix))],
        UseTree::Glob(_) => vec![("*".into(), path("*", prefix))],
        UseTree::Group(tree) => tree.items.iter().flat_map(|tree| leaves(tree, prefix)).collect(),
    }
}

fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Path>().is_ok_and(|path| path.is_ident("test"))
    })
}

/// Collect the paths of a file outside its tests.
struct Paths {
    /// Inline modules around the current place, each of which adds a `super` to paths.
    depth: usize,
    paths: Vec<Vec<String>>,
}

impl Paths {
    /// Add a path; inside inline modules the leading `super` that leave them are dropped.
    fn add(&mut self, mut path: Vec<String>) {
        let supers = path.iter().take_while(|segment| *segment == "super").count();
        if self.depth > 0 && supers > 0 {
            path.drain(..supers.min(self.depth));
            path.insert(0, "self".into());
        }
        self.paths.push(path);
    }
}

impl<'ast> Visit<'ast> for Paths {
    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        if !is_test(&item.attrs) {
            self.depth += 1;
            visit::visit_item_mod(self, item);
            self.depth -= 1;
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        if matches!(item.vis, Visibility::Inherited) && !is_test(&item.attrs) {
            leaves(&item.tree, &mut vec![]).into_iter().for_each(|(_, path)| self.add(path));
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.segments.len() > 1 {
            self.add(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        }
        visit::visit_path(self, path);
    }

    /// The arguments of macros that look like calls.
    fn visit_macro(&mut self, called: &'ast Macro) {
        if let Ok(arguments) = called.parse_body_with(Punctuated::<Expr, Token![,]>::parse_terminated) {
            let mut inner = Paths { depth: self.depth, paths: vec![] };
            arguments.iter().for_each(|argument| inner.visit_expr(argument));
            self.paths.append(&mut inner.paths);
        }
        visit::visit_macro(self, called);
    }
}
