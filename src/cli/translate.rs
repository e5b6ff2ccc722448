//! `rnn predict` of a model that translates: texts are answered as they arrive.

use std::io::Write;

use rnn_zoo::data::{Columns, Source, Split, has_columns};
use rnn_zoo::inference::Model;
use rnn_zoo::inference::search::SearchOptions;
use rnn_zoo::inference::translation::Translation;
use rnn_zoo::listing::{counted, thousands};
use rnn_zoo::tasks::{DataSpec, MOST_TOKENS};

use super::data_args::DataArgs;
use super::flags::usage;
use super::texts::{Texts, open_lines};
use super::up_to_error::{at_text, up_to_error};
use crate::cli::note::note;

/// Texts to translate.
pub struct Request<'a> {
    /// One text; otherwise those of `data`.
    pub text: Option<&'a str>,
    /// The flags of the data.
    pub data: &'a DataArgs,
    /// Whether answers are JSON objects.
    pub json: bool,
}

/// Translate the texts of a request and print the translations.
pub fn run(model: &Model, request: &Request<'_>, options: SearchOptions) -> anyhow::Result<()> {
    let translation = Translation::new(model, options)?;
    let mut texts = request.texts(model)?;
    let mut out = std::io::stdout().lock();
    let (mut answered, mut cut) = (0, 0);
    loop {
        let (read, more) = texts.available();
        let (answers, failed) = up_to_error(&read, |texts| {
            let (answers, count) = translation.answer(texts)?;
            cut += count;
            Ok(answers)
        });
        answered += answers.len();
        for answer in answers {
            match request.json {
                true => writeln!(out, "{}", answer.json)?,
                false => writeln!(out, "{}", answer.text)?,
            }
        }
        out.flush()?;
        match (failed, &request.data.data) {
            (Some(error), Some(file)) => {
                return Err(at_text(file, texts.unit(), answered + 1, error).into());
            }
            (Some(error), None) => return Err(error.into()),
            (None, _) => {}
        }
        if !more? {
            break;
        }
    }
    if cut > 0 {
        let most = thousands(MOST_TOKENS as u64);
        note!("{} of more than {most} tokens: cut there", counted(cut as u64, "text"));
    }
    Ok(())
}

impl Request<'_> {
    fn texts(&self, model: &Model) -> anyhow::Result<Texts> {
        if let Some(text) = self.text {
            return Ok(Texts::Read(vec![text.to_string()].into_iter()));
        }
        let data = self.data.data.as_deref().unwrap_or_default();
        let spec = self.data.spec(data, &model.config);
        if data != "-" {
            self.data.check_effect(&spec, &model.config)?;
        }
        if data == "-" || matches!(spec.source()?, Source::File(path) if !has_columns(&path)) {
            if let Some(flag) = self.data.given_of_splits() {
                return Err(usage(flag, format!("all lines of {data} are translated; leave it out")));
            }
            return Ok(Texts::Lines(open_lines(data, &self.data.read)?));
        }
        match spec.source()? {
            Source::File(_) | Source::Hub(_) => records(&spec, self.data.split),
            Source::Directory(_) | Source::Builtin(_) => {
                self.data.announce_default(&spec)?;
                let (dataset, _) = model.config.task.read_split(&spec, self.data.split, model.names())?;
                let first = |parts: Vec<String>| parts.into_iter().next().unwrap_or_default();
                let texts: Vec<String> = dataset.parts().into_iter().map(first).collect();
                Ok(Texts::Read(texts.into_iter()))
            }
        }
    }
}

/// The sources of a table, which need no targets.
fn records(spec: &DataSpec, split: Option<Split>) -> anyhow::Result<Texts> {
    let sides = spec.sides.clone().unwrap_or_default();
    let Some(column) = sides.source_column else {
        let problem = format!("is missing; name the column of {} that holds the texts", spec.data);
        return Err(usage("--source-column", problem));
    };
    let columns = Columns { text: Some(column), label: None };
    let table = DataSpec { columns, sides: None, tagging: None, ..spec.clone() };
    let corpus = table.corpus().map_err(rnn_zoo::tasks::of_sides)?.with_incomplete();
    Ok(Texts::Records(corpus.pieces(split.unwrap_or_else(|| corpus.default_split()))?))
}
