//! A proof, for tests, that a grammar is unambiguous: each text has one derivation.
//!
//! It compares all options of every choice, under all bindings that the choice can depend on, and searches for a text
//! of one option that is a prefix of a text of another. If there is none, the texts of every piece form a prefix code,
//! and each text has one derivation. The proof is by induction over pieces: a printed text trivially; a sequence,
//! because each part can end at one place only; a choice, because no two options print the same text, or one a prefix
//! of the other.

use std::collections::HashSet;

use super::{Bindings, Grammar, GrammarPiece, GrammarStep, restrict};

/// A text of one option of a choice that is a prefix of a text of another option; `None` proves that the grammar is
/// unambiguous.
pub fn clash(grammar: &Grammar) -> Option<String> {
    let (root, bindings) = grammar.start();
    clash_within(grammar, root, bindings, &mut HashSet::new())
}

/// Visit every choice under every binding that it can depend on.
fn clash_within(
    grammar: &Grammar,
    piece: &GrammarPiece,
    bindings: Bindings,
    seen: &mut HashSet<(usize, Bindings)>,
) -> Option<String> {
    if let GrammarPiece::Rule(rule) = piece
        && !seen.insert((*rule, restrict(bindings, &grammar.rules[*rule].reads)))
    {
        return None;
    }
    match grammar.step(piece, bindings) {
        GrammarStep::Print(_) => None,
        GrammarStep::InTurn(pieces) => pieces.iter().find_map(|p| clash_within(grammar, p, bindings, seen)),
        GrammarStep::OneOf(options) => {
            let start = |option: usize| vec![Pending::Piece(options[option].1, options[option].2)];
            let mut pairs = (0..options.len()).flat_map(|a| (0..a).map(move |b| (a, b)));
            pairs
                .find_map(|(a, b)| common_beginning(grammar, start(a), start(b), String::new()))
                .or_else(|| options.iter().find_map(|(_, p, b)| clash_within(grammar, p, *b, seen)))
        }
    }
}

#[derive(Clone, Copy)]
enum Pending<'g> {
    Text(&'g str),
    Piece(&'g GrammarPiece, Bindings),
}

/// Walk two stacks of pieces in parallel, in all ways that print the same characters, until one of them ends.
fn common_beginning<'g>(
    grammar: &'g Grammar,
    mut left: Vec<Pending<'g>>,
    mut right: Vec<Pending<'g>>,
    printed: String,
) -> Option<String> {
    let (Some(&top), Some(&other)) = (left.last(), right.last()) else {
        return Some(printed);
    };
    match (top, other) {
        (Pending::Text(a), Pending::Text(b)) => {
            let shared = a.len().min(b.len());
            if !a.is_char_boundary(shared) || !b.is_char_boundary(shared) || a[..shared] != b[..shared] {
                return None;
            }
            for (stack, text) in [(&mut left, a), (&mut right, b)] {
                stack.pop();
                if text.len() > shared {
                    stack.push(Pending::Text(&text[shared..]));
                }
            }
            common_beginning(grammar, left, right, printed + &a[..shared])
        }
        (Pending::Text(_), Pending::Piece(..)) => common_beginning(grammar, right, left, printed),
        (Pending::Piece(piece, bindings), _) => {
            left.pop();
            match grammar.step(piece, bindings) {
                GrammarStep::Print("") => common_beginning(grammar, left, right, printed),
                GrammarStep::Print(text) => {
                    left.push(Pending::Text(text));
                    common_beginning(grammar, left, right, printed)
                }
                GrammarStep::InTurn(pieces) => {
                    left.extend(pieces.iter().rev().map(|piece| Pending::Piece(piece, bindings)));
                    common_beginning(grammar, left, right, printed)
                }
                GrammarStep::OneOf(options) => options.into_iter().find_map(|(_, piece, bindings)| {
                    let left = left.iter().copied().chain([Pending::Piece(piece, bindings)]).collect();
                    common_beginning(grammar, left, right.clone(), printed.clone())
                }),
            }
        }
    }
}
