//! The results of `rnn eval` as text and JSON.

use rnn_zoo::data::Split;
use rnn_zoo::inference::evaluate::EvaluationResult;
use rnn_zoo::inference::grammar::Legality;
use rnn_zoo::listing::{counted, has};
use rnn_zoo::tasks::Task;
use rnn_zoo::tokenizer::Unknown;
use serde_json::{Value, json};

use super::adaptive::Adapted;

/// The results of an evaluation.
pub struct Report {
    /// The task of the model.
    pub task: &'static dyn Task,
    /// The split that the model was scored on.
    pub split: Split,
    /// The name of a target.
    pub unit: &'static str,
    /// The scores of the model as it is.
    pub scores: EvaluationResult,
    /// Unknown tokens and dropped characters; `None` if the model does not read text.
    pub unknown: Option<Unknown>,
    /// The lowest loss that a model can reach, if it is known.
    pub floor: Option<f64>,
    /// The result of a test on the grammar of the data, if it has one.
    pub legality: Option<Legality>,
    /// The scores of the model as it adapts to the text, if asked for.
    pub adapted: Option<Adapted>,
}

impl Report {
    /// One JSON object.
    pub fn as_json(&self) -> anyhow::Result<Value> {
        let mut report = json!({ "task": self.task.name(), "split": self.split.name() });
        let scores = serde_json::to_value(&self.scores)?;
        if let (Some(report), Value::Object(scores)) = (report.as_object_mut(), scores) {
            report.extend(scores);
            report.extend(self.unknown.map(|unknown| ("unknown".to_string(), json!(unknown.total()))));
            report.extend(self.floor.map(|floor| ("floor".to_string(), json!(floor))));
            report.extend(self.legality.map(|legality| ("grammar".to_string(), json!(legality))));
            if let Some(adapted) = &self.adapted {
                report.insert(adapted.name.to_string(), adapted.as_json()?);
            }
        }
        Ok(report)
    }

    /// Lines of text.
    pub fn lines(&self) -> Vec<String> {
        let Self { split, unit, scores, .. } = self;
        let mut lines = vec![format!("{split}: {} {unit}s", scores.tokens)];
        lines.extend(self.task.report(scores, unit));
        lines.extend(self.unknown_line());
        lines.extend(self.dropped_line());
        lines.extend(self.floor.map(|floor| {
            let above = 100. * (scores.loss / floor - 1.);
            format!("the least possible loss is {floor:.4} nats, this is {above:.1} % above")
        }));
        lines.extend(self.legality.map(grammar_line));
        lines.push(format!("{:.1} s, {:.0} {unit}s/s", scores.seconds, scores.tokens_per_second));
        lines.extend(self.adapted.as_ref().map(|adapted| adapted.as_text(unit)));
        lines
    }

    /// A line about the unknown tokens of running text, which are targets too.
    fn unknown_line(&self) -> Option<String> {
        let Self { task, unit, scores, .. } = self;
        let unknown = self.unknown.filter(|_| task.is_language_model())?;
        let count = Some(unknown.tokens).filter(|&count| count > 0)?;
        let share = 100. * count as f64 / scores.tokens.max(1) as f64;
        Some(format!(
            "{count} {unit}s ({share:.2} %) are unknown to the model and scored as <unk>, which is easier to \
             predict than the words themselves"
        ))
    }

    /// A line about the characters that the tokenizer drops.
    fn dropped_line(&self) -> Option<String> {
        let dropped = self.unknown.map(|unknown| unknown.dropped).filter(|&count| count > 0)?;
        Some(format!(
            "{} {} no {}; left out and not scored",
            counted(dropped, "character"),
            has(dropped),
            self.unit
        ))
    }
}

fn grammar_line(legality: Legality) -> String {
    let Legality { strings, strings_right, steps, steps_right, embedded_right } = legality;
    format!(
        "grammar: {strings_right} of {strings} unseen strings right at every step, {steps_right} of {steps} steps, \
         {embedded_right} embedded symbols"
    )
}
