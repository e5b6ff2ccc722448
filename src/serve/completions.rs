//! `/v1/completions`: texts at once, or as they grow.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tokio::sync::mpsc::{Sender, UnboundedReceiver, channel, unbounded_channel};
use tokio_stream::wrappers::ReceiverStream;

use super::completion_reply::{Choice, Heading, Usage};
use super::completion_request::CompletionRequest;
use super::engine::Engine;
use super::job::{Job, Places, TextDelta};
use super::options::Limits;
use super::problem::Problem;
use super::prompt_tokens::prompt_tokens;
use super::token::Token;
use super::whole_body;
use crate::inference::Model;
use crate::inference::generate::{Opening, Specials, TextOptions, TypedPrompt};

/// The events of a stream that wait for the client to read them.
const EVENTS: usize = 16;

/// The last event of a stream.
const DONE: &str = "[DONE]";

/// Texts that are being written for a request.
struct Completion {
    request: CompletionRequest,
    heading: Heading,
    usage: Usage,
    pieces: UnboundedReceiver<TextDelta>,
    choices: Vec<Choice>,
    deadline: Instant,
    places: Places,
}

/// Answer a request that came at `arrived`.
pub(super) async fn complete(
    engine: Arc<Engine>,
    model: &str,
    request: CompletionRequest,
    limits: &Limits,
    arrived: Instant,
) -> Result<Response, Problem> {
    let writing = begin(&engine, model, request, limits, arrived).await?;
    if !writing.request.stream {
        return writing.whole().await;
    }
    let (sender, receiver) = channel(EVENTS);
    // The task ends as soon as the client does not read any more. It holds the engine until then.
    let last = limits.write;
    tokio::spawn(async move {
        writing.send(&sender, last).await;
        drop(engine);
    });
    let mut response = Sse::new(ReceiverStream::new(receiver)).into_response();
    // Proxies such as nginx would collect the events otherwise.
    response.headers_mut().insert("x-accel-buffering", axum::http::HeaderValue::from_static("no"));
    Ok(response)
}

/// Send the texts of a request to the thread of the bundle.
async fn begin(
    engine: &Arc<Engine>,
    model: &str,
    request: CompletionRequest,
    limits: &Limits,
    arrived: Instant,
) -> Result<Completion, Problem> {
    let key = engine.state_key()?;
    let places = engine.places(request.texts())?;
    let seed = match (&request.state, request.seed) {
        (Some(_), seed) => seed,
        // Below 2^53, so that a client in JavaScript can send it back.
        (None, seed) => Some(seed.unwrap_or_else(|| u64::from(rand::random::<u32>()))),
    };
    let most = limits.prompt;
    let loaded = Arc::clone(&engine.model);
    let (typed, state, stops) = (request.prompts.clone(), request.state.clone(), request.stops.clone());
    let prepared = tokio::task::spawn_blocking(move || {
        let saved = state.map(|state| key.decode(&state, &loaded)).transpose()?;
        let prompts = typed.into_iter().map(|typed| prompt(&loaded, typed, most));
        let prompts = prompts.collect::<Result<Vec<_>, _>>()?;
        Ok::<_, Problem>((prompts, Opening { saved, stops, seed }, Specials::of(&loaded)?))
    });
    let (prompts, opening, Specials { end, banned }) = prepared
        .await
        .map_err(|_| Problem::failure("internal error; the server's standard error has the cause"))??;
    let usage = Usage::of_prompts(prompts.iter().map(TypedPrompt::token_count).sum());
    let deadline = arrived + limits.time;
    let (prompts, echoed) = echoed(engine, &places, prompts, &request, deadline).await?;
    let (sender, pieces) = unbounded_channel();
    let options = TextOptions {
        sampling: request.sampling,
        banned,
        length: request.length,
        end,
        logprobs: request.logprobs.is_some() || request.best_of > request.n,
        resumable: request.return_state,
    };
    engine.write(Job {
        prompts,
        opening,
        count: request.best_of,
        options,
        alternatives: request.logprobs.unwrap_or(0),
        pieces: sender,
        deadline,
        arrived,
        places: Arc::clone(&places),
    })?;
    let choices = echoed.into_iter().flat_map(|tokens| std::iter::repeat_n(tokens, request.best_of));
    let choices = choices.map(Choice::after).collect();
    let heading = Heading::new(model, seed);
    Ok(Completion { request, heading, usage, pieces, choices, deadline, places })
}

/// The prompts, and for each its tokens if they are part of the answer.
async fn echoed(
    engine: &Arc<Engine>,
    places: &Places,
    prompts: Vec<TypedPrompt>,
    request: &CompletionRequest,
    deadline: Instant,
) -> Result<(Vec<TypedPrompt>, Vec<Vec<(Token, String)>>), Problem> {
    let Some(count) = request.logprobs.filter(|_| request.echo) else {
        let none = prompts.iter().map(|_| vec![]).collect();
        return Ok((prompts, none));
    };
    let computed = engine.compute_within(Arc::clone(places), move |model, waiting| {
        let tokens = prompts.iter().map(|prompt| {
            waiting.check()?;
            Ok(prompt_tokens(model, prompt, count)?)
        });
        let tokens = tokens.collect::<Result<Vec<_>, Problem>>()?;
        Ok((prompts, tokens))
    });
    tokio::time::timeout_at(deadline.into(), computed).await.map_err(|_| Problem::timeout())?
}

fn prompt(model: &Model, typed: String, most: usize) -> Result<TypedPrompt, Problem> {
    let prompt = TypedPrompt::new(model, typed)?;
    match prompt.token_count() {
        count if count > most => {
            Err(Problem::field("prompt", format!("has {count} tokens; expected at most {most}")))
        }
        _ => Ok(prompt),
    }
}

impl Completion {
    /// Receive a piece and add it to its text. Return the number of the text.
    async fn receive(&mut self) -> Result<usize, Problem> {
        // A piece that is ready would be received after the deadline too.
        if self.deadline <= Instant::now() {
            return Err(Problem::timeout());
        }
        let piece = tokio::time::timeout_at(self.deadline.into(), self.pieces.recv()).await;
        let piece = match piece {
            Ok(Some(piece)) => piece,
            Ok(None) if self.deadline > Instant::now() => {
                return Err(Problem::failure("internal error; the server's standard error has the cause"));
            }
            Ok(None) | Err(_) => return Err(Problem::timeout()),
        };
        let text = piece.text;
        if piece.written {
            self.usage.add();
        }
        self.choices[text].add(piece, self.request.echo)?;
        Ok(text)
    }

    fn is_ended(&self) -> bool {
        self.choices.iter().all(Choice::is_ended)
    }

    /// The whole answer.
    async fn whole(mut self) -> Result<Response, Problem> {
        while !self.is_ended() {
            self.receive().await?;
        }
        let CompletionRequest { n, best_of, logprobs, .. } = self.request;
        let mut chosen = vec![];
        for choices in self.choices.chunks_mut(best_of) {
            let mut best: Vec<&mut Choice> = choices.iter_mut().collect();
            if best_of > n {
                best.sort_by(|a, b| b.quality().total_cmp(&a.quality()));
            }
            for choice in best.into_iter().take(n) {
                let index = chosen.len();
                chosen.push(choice.take(index, logprobs.is_some()));
            }
        }
        let object = serde_json::to_vec(&self.heading.object(&chosen, Some(self.usage)));
        let object = object.map_err(|_| Problem::failure("the answer cannot be written as JSON"))?;
        Ok(whole_body::answer(object, self.deadline, self.places))
    }

    /// Send the texts as they grow. A client that reads too slowly is waited for up to the deadline, and then up to
    /// `last` for the end of the stream.
    async fn send(mut self, client: &Sender<Result<Event, Infallible>>, last: Duration) {
        let deadline = self.deadline.into();
        let ended = tokio::select! {
            () = client.closed() => return,
            ended = tokio::time::timeout_at(deadline, self.send_pieces(client)) => ended,
        };
        let ended = ended.unwrap_or_else(|_| Err(Problem::timeout()));
        // What is left is small, and needs no place.
        drop((self.pieces, self.places));
        let usage = self.request.stream_usage.then_some(self.usage);
        // Nothing is left to do if the client does not take the end.
        let _ = tokio::time::timeout(last, send_end(client, &self.heading, usage, ended)).await;
    }

    async fn send_pieces(&mut self, client: &Sender<Result<Event, Infallible>>) -> Result<(), Problem> {
        let logprobs = self.request.logprobs.is_some();
        while !self.is_ended() {
            let text = self.receive().await?;
            let part = self.choices[text].take(text, logprobs);
            if part.is_worth_sending() {
                send(client, &self.heading.object(&[part], None)).await;
            }
        }
        Ok(())
    }
}

async fn send(client: &Sender<Result<Event, Infallible>>, object: &impl Serialize) {
    let event = Event::default().json_data(object).expect("an object of an answer is JSON");
    let _ = client.send(Ok(event)).await;
}

/// Send the end of a stream.
async fn send_end(
    client: &Sender<Result<Event, Infallible>>,
    heading: &Heading,
    usage: Option<Usage>,
    ended: Result<(), Problem>,
) {
    match (ended, usage) {
        (Err(problem), _) => send(client, &problem.json()).await,
        (Ok(()), Some(usage)) => send(client, &heading.object(&[], Some(usage))).await,
        (Ok(()), None) => {}
    }
    let _ = client.send(Ok(Event::default().data(DONE))).await;
}
