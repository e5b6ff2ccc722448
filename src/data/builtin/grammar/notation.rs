//! The parser of the notation that [`super`] describes.

use super::{Grammar, GrammarPiece, Rule, Table, VARIABLES, Variable};

/// A line that is not indented, and the entries below it.
struct Section {
    header: String,
    entries: Vec<String>,
}

impl Grammar {
    /// Parse a grammar. The error is the problem.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (tables, rules): (Vec<Section>, Vec<Section>) =
            blocks(text)?.into_iter().partition(|block| block.header.contains('='));
        let mut parser = Parser {
            rule_names: rules.iter().map(|block| block.header.clone()).collect(),
            current: 0,
            tables: tables.iter().map(table).collect::<Result<_, _>>()?,
            variables: Vec::new(),
        };
        let bodies = rules.iter().map(|block| parser.rule(block)).collect::<Result<Vec<_>, _>>()?;
        let Parser { tables, variables, .. } = parser;
        let unread = |body| Rule { body, reads: [false; VARIABLES] };
        let rules: Vec<Rule> = bodies.into_iter().map(unread).collect();
        if rules.is_empty() {
            return Err("a grammar needs at least one rule".into());
        }
        let mut grammar = Self { tables, variables, rules };
        // A rule calls only rules below it, so the last is computed first.
        for rule in (0..grammar.rules.len()).rev() {
            grammar.rules[rule].reads = grammar.reads(&grammar.rules[rule].body);
        }
        Ok(grammar)
    }

    /// The variables that a piece's derivations depend on.
    fn reads(&self, piece: &GrammarPiece) -> [bool; VARIABLES] {
        let union = |a: [bool; VARIABLES], b: [bool; VARIABLES]| std::array::from_fn(|i| a[i] || b[i]);
        match piece {
            GrammarPiece::Text(_) => [false; VARIABLES],
            GrammarPiece::Form { variable, .. } => std::array::from_fn(|other| other == *variable),
            GrammarPiece::Sequence(pieces) => {
                pieces.iter().map(|piece| self.reads(piece)).fold([false; VARIABLES], union)
            }
            GrammarPiece::Choice(options) => {
                options.iter().map(|(_, piece)| self.reads(piece)).fold([false; VARIABLES], union)
            }
            GrammarPiece::Bind { variable, scope } => {
                let mut reads = self.reads(scope);
                reads[*variable] = false;
                // The free rows depend on the other variables of the same table.
                let table = self.variables[*variable].table;
                union(reads, std::array::from_fn(|i| self.variables.get(i).is_some_and(|v| v.table == table)))
            }
            GrammarPiece::Rule(rule) => self.rules[*rule].reads,
        }
    }
}

/// Split the text into blocks, without comments and with continued lines joined.
fn blocks(text: &str) -> Result<Vec<Section>, String> {
    let mut blocks: Vec<Section> = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
        let content = line.trim();
        match (line.len() - line.trim_start().len(), blocks.last_mut()) {
            (0, _) => blocks.push(Section { header: content.into(), entries: Vec::new() }),
            (2, Some(block)) => block.entries.push(content.into()),
            (3.., Some(Section { entries, .. })) if !entries.is_empty() => {
                let entry = entries.last_mut().expect("invariant: checked by the guard");
                entry.push(' ');
                entry.push_str(content);
            }
            _ => return Err(format!("`{content}`: indent entries by 2, continued lines by more")),
        }
    }
    match blocks.iter().find(|block| block.entries.is_empty()) {
        Some(block) => Err(format!("`{}` has no entries", block.header)),
        None => Ok(blocks),
    }
}

/// Read `person = name, he` and rows such as `Anna, Clara: she`.
fn table(block: &Section) -> Result<Table, String> {
    let words = |list: &str| list.split(',').map(|word| word.trim().to_string()).collect::<Vec<_>>();
    let (name, columns) = block.header.split_once('=').expect("invariant: a table's header has a `=`");
    let columns = words(columns);
    let mut rows = Vec::new();
    for entry in &block.entries {
        let (keys, forms) = entry.split_once(':').map_or((entry.as_str(), vec![]), |(k, f)| (k, words(f)));
        if forms.len() + 1 != columns.len() {
            return Err(format!("`{entry}` should have {} forms behind a `:`", columns.len() - 1));
        }
        rows.extend(words(keys).into_iter().map(|key| [vec![key], forms.clone()].concat()));
    }
    if rows.len() > usize::from(u8::MAX) {
        return Err(format!("`{}` has more than 255 rows", block.header));
    }
    Ok(Table { name: name.trim().into(), columns, rows })
}

struct Parser {
    rule_names: Vec<String>,
    /// The rule that is being read.
    current: usize,
    tables: Vec<Table>,
    variables: Vec<Variable>,
}

impl Parser {
    fn rule(&mut self, block: &Section) -> Result<GrammarPiece, String> {
        let mut options = Vec::new();
        for entry in &block.entries {
            let (weight, mut text) = weighted(entry);
            let piece = self.sequence(&mut text).map_err(|problem| format!("{problem} in `{entry}`"))?;
            if !text.is_empty() {
                return Err(format!("`{text}` is left over in `{entry}`: put choices in parentheses"));
            }
            options.push((weight, piece));
        }
        self.current += 1;
        let total: f64 = options.iter().map(|(weight, _)| weight).sum();
        options.iter_mut().for_each(|(weight, _)| *weight /= total);
        Ok(single(options))
    }

    /// Read up to a `|`, a `)` or the end.
    fn sequence(&mut self, text: &mut &str) -> Result<GrammarPiece, String> {
        let mut pieces = Vec::new();
        while let Some(mark) = text.chars().next().filter(|mark| !"|)".contains(*mark)) {
            match mark {
                '(' => pieces.push(self.choice(text)?),
                '<' => {
                    let (inside, after) = text[1..].split_once('>').ok_or("`<` without `>`")?;
                    *text = after;
                    match inside.split_once(':') {
                        Some((variable, table)) => pieces.push(self.bind(variable, table, text)?),
                        None => pieces.push(self.reference(inside)?),
                    }
                }
                _ => {
                    let end = text.find(['<', '(', '|', ')']).unwrap_or(text.len());
                    pieces.push(GrammarPiece::Text(text[..end].into()));
                    *text = &text[end..];
                }
            }
        }
        Ok(GrammarPiece::Sequence(pieces))
    }

    /// Read `(one|other)`.
    fn choice(&mut self, text: &mut &str) -> Result<GrammarPiece, String> {
        let mut pieces = Vec::new();
        loop {
            *text = &text[1..];
            pieces.push(self.sequence(text)?);
            if text.is_empty() {
                return Err("`(` without `)`".into());
            }
            if text.starts_with(')') {
                *text = &text[1..];
                let probability = 1.0 / pieces.len() as f64;
                return Ok(single(pieces.into_iter().map(|piece| (probability, piece)).collect()));
            }
        }
    }

    fn bind(&mut self, name: &str, table: &str, text: &mut &str) -> Result<GrammarPiece, String> {
        let table = find(self.tables.iter().map(|table| table.name.as_str()), table)?;
        if self.rule_names.iter().any(|rule| rule == name) {
            return Err(format!("`{name}` is already the name of a rule"));
        }
        let variable = match self.variables.iter().position(|variable| variable.name == name) {
            Some(known) if self.variables[known].table == table => known,
            Some(_) => return Err(format!("`{name}` already belongs to another table")),
            None => {
                self.variables.push(Variable { name: name.into(), table });
                self.variables.len() - 1
            }
        };
        if variable >= VARIABLES {
            return Err(format!("`{name}` is one variable too many; expected at most {VARIABLES}"));
        }
        let scope = vec![GrammarPiece::Form { variable, column: 0 }, self.sequence(text)?];
        Ok(GrammarPiece::Bind { variable, scope: Box::new(GrammarPiece::Sequence(scope)) })
    }

    /// `variable`, `variable.column` or `rule`.
    fn reference(&self, name: &str) -> Result<GrammarPiece, String> {
        let (variable, column) = name.split_once('.').map_or((name, None), |(v, column)| (v, Some(column)));
        if let Some(variable) = self.variables.iter().position(|known| known.name == variable) {
            let columns = &self.tables[self.variables[variable].table].columns;
            let column = column.map_or(Ok(0), |column| find(columns.iter().map(String::as_str), column))?;
            return Ok(GrammarPiece::Form { variable, column });
        }
        let rule = find(self.rule_names.iter().map(String::as_str), name)?;
        if rule <= self.current {
            return Err(format!("`{name}` must be below the rule that calls it"));
        }
        Ok(GrammarPiece::Rule(rule))
    }
}

/// Split `3 words` into its weight and the words. The weight is 1 if there is none.
fn weighted(entry: &str) -> (f64, &str) {
    let weight = |(number, text)| Some((str::parse::<u32>(number).ok().filter(|n| *n > 0)?, text));
    entry.split_once(' ').and_then(weight).map_or((1.0, entry), |(weight, text)| (f64::from(weight), text))
}

/// A choice; its only option if there is one.
fn single(mut options: Vec<(f64, GrammarPiece)>) -> GrammarPiece {
    match options.len() {
        1 => options.swap_remove(0).1,
        _ => GrammarPiece::Choice(options),
    }
}

fn find<'n>(mut names: impl Iterator<Item = &'n str>, name: &str) -> Result<usize, String> {
    names.position(|known| known == name).ok_or_else(|| format!("nothing is called `{name}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_are_named() {
        for (text, problem) in [
            ("", "a grammar needs at least one rule"),
            ("start\n", "`start` has no entries"),
            ("  lost\n", "`lost`: indent entries by 2, continued lines by more"),
            ("start\n  <nobody>\n", "nothing is called `nobody` in `<nobody>`"),
            ("start\n  <start>\n", "`start` must be below the rule that calls it in `<start>`"),
            ("start\n  (a|b\n", "`(` without `)` in `(a|b`"),
            ("start\n  a <b\n", "`<` without `>` in `a <b`"),
            ("start\n  a|b\n", "`|b` is left over in `a|b`: put choices in parentheses"),
            ("p = name, he\n  Ann\nstart\n  a\n", "`Ann` should have 1 forms behind a `:`"),
            ("p = name\n  Ann\nstart\n  <x:p> <x.he>\n", "nothing is called `he` in `<x:p> <x.he>`"),
            ("p = name\n  Ann\nstart\n  <x:q>\n", "nothing is called `q` in `<x:q>`"),
        ] {
            assert_eq!(Grammar::parse(text).unwrap_err(), problem);
        }
    }

    #[test]
    fn weights_are_normalised_and_default_to_one() {
        let grammar = Grammar::parse("start\n  3 a\n  b\n").unwrap();
        assert_eq!(grammar.log_probability("a"), Some(0.75f64.ln()));
        assert_eq!(grammar.log_probability("b"), Some(0.25f64.ln()));
    }
}
