//! The request of a completion: OpenAI's fields, and samplers under the names that llama.cpp's server has for them.

use super::fields::Fields;
use super::options::Limits;
use super::problem::Problem;
use crate::inference::generate::Sampling;

/// The most stop strings.
const MOST_STOPS: usize = 16;

/// The most alternatives to a token.
const MOST_ALTERNATIVES: u64 = 20;

/// The default number of tokens, that of OpenAI's server.
const USUAL_LENGTH: usize = 16;

/// A request for texts.
#[derive(Debug)]
pub(super) struct CompletionRequest {
    /// The prompts.
    pub prompts: Vec<String>,
    /// The most tokens of a text.
    pub length: usize,
    /// The texts that are returned for each prompt.
    pub n: usize,
    /// The texts that are written for each prompt.
    pub best_of: usize,
    /// The rules of sampling.
    pub sampling: Sampling,
    /// The strings that end a text.
    pub stops: Vec<String>,
    /// The seed; without one, a state continues with its own random numbers, and other texts get a new seed.
    pub seed: Option<u64>,
    /// Whether texts begin with the prompt.
    pub echo: bool,
    /// The number of alternatives to each token, if tokens are returned.
    pub logprobs: Option<usize>,
    /// Whether the texts are sent as they grow.
    pub stream: bool,
    /// Whether a stream ends with the counts of tokens.
    pub stream_usage: bool,
    /// Whether the state of the text is returned.
    pub return_state: bool,
    /// The state to continue from.
    pub state: Option<String>,
}

impl CompletionRequest {
    /// Read all fields but `model`.
    pub(super) fn read(mut fields: Fields, limits: &Limits) -> Result<Self, Problem> {
        let fields_of = &mut fields;
        let prompts = fields_of.texts("prompt", 1, limits.streams)?.unwrap_or_else(|| vec![String::new()]);
        let length = fields_of.whole("max_tokens", 0, limits.length as u64)?;
        let length = length.unwrap_or(USUAL_LENGTH.min(limits.length));
        let n = fields_of.whole("n", 1, limits.streams as u64)?;
        let best_of = fields_of.whole("best_of", n.unwrap_or(1) as u64, limits.streams as u64)?;
        let request = Self {
            prompts,
            length,
            n: n.unwrap_or(1),
            best_of: best_of.or(n).unwrap_or(1),
            sampling: sampling(fields_of)?,
            stops: fields_of.texts("stop", 0, MOST_STOPS)?.unwrap_or_default(),
            seed: fields_of.seed("seed")?,
            echo: fields_of.flag("echo")?,
            logprobs: fields_of.whole("logprobs", 0, MOST_ALTERNATIVES)?,
            stream: fields_of.flag("stream")?,
            stream_usage: stream_usage(fields_of)?,
            return_state: fields_of.flag("return_state")?,
            state: fields_of.text("state")?,
        };
        neutral(fields_of)?;
        fields.end()?;
        request.check(limits)?;
        Ok(request)
    }

    /// The number of texts that are written.
    pub(super) fn texts(&self) -> usize {
        self.prompts.len() * self.best_of
    }

    /// Whether the tokens of the prompts are part of the answer.
    pub(super) fn echoes_tokens(&self) -> bool {
        self.echo && self.logprobs.is_some()
    }

    fn check(&self, limits: &Limits) -> Result<(), Problem> {
        if self.texts() > limits.streams {
            let problem = format!(
                "{} prompts of {} texts are more than the {} that are written at a time; ask for less",
                self.prompts.len(),
                self.best_of,
                limits.streams
            );
            return Err(Problem::field("best_of", problem));
        }
        if self.stops.iter().any(String::is_empty) {
            return Err(Problem::field(
                "stop",
                "is an empty string; expected strings of at least one character",
            ));
        }
        if self.stream && self.best_of > self.n {
            let problem = "needs whole texts to choose from; leave it out, or leave out stream";
            return Err(Problem::field("best_of", problem));
        }
        if self.echoes_tokens() && self.state.is_some() {
            let problem = "the text of a state has no log-probabilities; leave out echo, logprobs or state";
            return Err(Problem::field("echo", problem));
        }
        if (self.return_state || self.state.is_some()) && self.texts() > 1 {
            let name = if self.state.is_some() { "state" } else { "return_state" };
            return Err(Problem::field(name, "belongs to one text; expected one prompt and n = 1"));
        }
        Ok(())
    }
}

fn sampling(fields: &mut Fields) -> Result<Sampling, Problem> {
    let usual = Sampling::default();
    let sampling = Sampling {
        temperature: fields.number("temperature")?.unwrap_or(usual.temperature),
        // 0 stands for no limit in llama.cpp's server.
        top_k: fields.whole("top_k", 0, u64::from(u32::MAX))?.filter(|&k| k > 0),
        top_p: fields.number("top_p")?,
        min_p: fields.number("min_p")?,
        typical_p: fields.number("typical_p")?,
        repetition_penalty: fields.number("repeat_penalty")?.unwrap_or(usual.repetition_penalty),
        repetition_window: fields.whole("repeat_last_n", 1, u64::from(u32::MAX))?,
    };
    sampling.validate()?;
    Ok(sampling)
}

fn stream_usage(fields: &mut Fields) -> Result<bool, Problem> {
    let Some(options) = fields.value("stream_options") else { return Ok(false) };
    match options.get("include_usage").unwrap_or(&false.into()).as_bool() {
        Some(usage) if options.is_object() => Ok(usage),
        _ => Err(Problem::field("stream_options", "expected {\"include_usage\": true or false}")),
    }
}

/// Accept fields of OpenAI's that have no effect here at their neutral values, which clients send.
fn neutral(fields: &mut Fields) -> Result<(), Problem> {
    fields.text("user")?;
    for name in ["presence_penalty", "frequency_penalty"] {
        if fields.number(name)?.is_some_and(|penalty| penalty != 0.) {
            return Err(Problem::field(name, "is not available; use repeat_penalty"));
        }
    }
    if fields.value("logit_bias").is_some_and(|bias| bias.as_object().is_none_or(|bias| !bias.is_empty())) {
        return Err(Problem::field("logit_bias", "is not available; leave it out"));
    }
    if fields.text("suffix")?.is_some_and(|suffix| !suffix.is_empty()) {
        return Err(Problem::field("suffix", "these models read forward only; leave it out"));
    }
    Ok(())
}
