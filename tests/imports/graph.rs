//! Circles in a directed graph.

use std::collections::BTreeSet;

/// The sets of nodes that reach each other, each in order, without single nodes. `edges[node]` are its successors.
pub fn cycles(edges: &[BTreeSet<usize>]) -> Vec<Vec<usize>> {
    let reached: Vec<BTreeSet<usize>> = (0..edges.len()).map(|node| reachable(edges, node)).collect();
    let mut cycles = BTreeSet::new();
    for node in 0..edges.len() {
        let circle: Vec<usize> = reached[node]
            .iter()
            .copied()
            .filter(|&other| other == node || reached[other].contains(&node))
            .collect();
        if circle.len() > 1 {
            cycles.insert(circle);
        }
    }
    cycles.into_iter().collect()
}

/// The nodes that paths from `start` lead to.
fn reachable(edges: &[BTreeSet<usize>], start: usize) -> BTreeSet<usize> {
    let mut reached = BTreeSet::new();
    let mut open = vec![start];
    while let Some(node) = open.pop() {
        for &next in &edges[node] {
            if reached.insert(next) {
                open.push(next);
            }
        }
    }
    reached
}
