//! The routes of the server.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{MatchedPath, Path as UrlPath, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Map, Value, json};
use tokio::sync::Semaphore;

use super::access::{guard, require_key};
use super::bodies::Bodies;
use super::completion_request::CompletionRequest;
use super::completions::complete;
use super::engine::Engine;
use super::fields::Fields;
use super::library::Library;
use super::metrics::Metrics;
use super::options::Options;
use super::problem::Problem;
use super::{inspections, page, predictions, runs, samples, scores};
use crate::Result;

/// Fields of a completion that are texts, also where they look like numbers.
const TEXTS: [&str; 5] = ["model", "prompt", "state", "stop", "user"];

/// The most requests that read the runs or wait for their turn.
const RUNS_PLACES: usize = 8;

/// What the routes share.
pub(super) struct Shared {
    pub library: Arc<Library>,
    pub metrics: Arc<Metrics>,
    pub options: Arc<Options>,
    bodies: Bodies,
    /// Places of requests that read the runs or wait for their turn.
    runs_places: Semaphore,
    /// The turn of the one request at a time that reads the runs, which may be large.
    runs: Arc<Semaphore>,
}

impl Shared {
    /// What the routes of a server with these bundles share.
    pub(super) fn new(library: Library, metrics: Arc<Metrics>, options: Options) -> Self {
        let bodies = Bodies::new(options.limits.body);
        let (runs_places, runs) = (Semaphore::new(RUNS_PLACES), Arc::new(Semaphore::new(1)));
        Self { library: Arc::new(library), metrics, options: Arc::new(options), bodies, runs_places, runs }
    }
}

type App = State<Arc<Shared>>;
type Answered = Result<Response, Problem>;

/// The router of all routes.
pub(super) fn router(shared: Arc<Shared>) -> Router {
    let access = Arc::new(shared.options.access.clone());
    Router::new()
        .route("/v1/models", get(models))
        .route("/v1/models/{*name}", get(model))
        .route("/v1/completions", post(completions).get(completions_of_query))
        .route("/v1/predict", post(predict))
        .route("/v1/score", post(score))
        .route("/v1/inspect", post(inspect))
        .route("/v1/runs", get(all_runs))
        .route("/v1/runs/sample", get(run_sample))
        .route("/metrics", get(metrics))
        .route("/props", get(props))
        .layer(middleware::from_fn_with_state(Arc::clone(&access), require_key))
        .route("/health", get(health))
        .merge(page::routes())
        .fallback(async || Problem::request(StatusCode::NOT_FOUND, "no such route; see /props for all"))
        .method_not_allowed_fallback(async || {
            Problem::request(
                StatusCode::METHOD_NOT_ALLOWED,
                "the route has another method; see docs/serve.md",
            )
        })
        .layer(middleware::from_fn_with_state(Arc::clone(&shared), count))
        .layer(middleware::from_fn_with_state(access, guard))
        .with_state(shared)
}

/// Count requests and measure their latency.
async fn count(State(shared): App, path: Option<MatchedPath>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    // A path of the client's own would be a new counter each.
    let route = path.as_ref().map_or("other", |path| path.as_str()).to_string();
    let response = next.run(request).await;
    shared.metrics.requests.with_label_values(&[&route, response.status().as_str()]).inc();
    shared.metrics.latency.with_label_values(&[&route]).observe(began.elapsed().as_secs_f64());
    response
}

async fn health() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

async fn metrics(State(shared): App) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], shared.metrics.text()).into_response()
}

async fn models(State(shared): App) -> Json<Value> {
    let models: Vec<Value> = shared.library.all().map(|(name, engine)| described(name, &engine)).collect();
    Json(json!({ "object": "list", "data": models }))
}

/// A model, whose name may have slashes, as on the hub.
async fn model(State(shared): App, name: Result<UrlPath<String>, PathRejection>) -> Answered {
    let UrlPath(name) = name.map_err(|_| Problem::field("model", "is not UTF-8; see /v1/models for all"))?;
    let (name, engine) = shared.library.get(Some(&name))?;
    Ok(Json(described(name, &engine)).into_response())
}

async fn all_runs(State(shared): App) -> Answered {
    shared.timed(shared.of_runs(|folder| Ok(runs::runs(folder)))).await
}

async fn run_sample(State(shared): App, Query(pairs): Query<Vec<(String, String)>>) -> Answered {
    let run = pairs.into_iter().find_map(|(name, value)| (name == "run").then_some(value));
    let run = run.ok_or_else(|| Problem::field("run", "is missing; expected the name of a run"))?;
    shared.timed(shared.of_runs(move |folder| samples::sample(folder, &run))).await
}

/// A model in OpenAI's shape, with its task.
fn described(name: &str, engine: &Engine) -> Value {
    let config = &engine.model.config;
    json!({
        "id": name, "object": "model", "created": engine.created, "owned_by": "rnn-zoo",
        "task": config.task.name(), "architecture": config.model, "fingerprint": engine.model.fingerprint(),
    })
}

async fn props(State(shared): App) -> Json<Value> {
    let limits = &shared.options.limits;
    let models = shared.library.all().map(|(name, engine)| {
        let mut object = described(name, &engine);
        let config = &engine.model.config;
        object["network"] = json!(config.network);
        object["labels"] = json!(config.labels);
        object["vocabulary"] = json!(engine.model.tokenizer.as_ref().map(|tokens| tokens.vocabulary_size()));
        object["translates"] = json!(engine.model.network.sequence_to_sequence().is_some());
        // The columns that a tagger reads beside each word.
        object["columns"] = json!(config.schema.pointer("/data/features"));
        object["reads_text"] = json!(engine.model.tokenizer.is_some());
        object
    });
    Json(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "precision": shared.options.precision.to_string(),
        "limits": {
            "body": limits.body, "prompt": limits.prompt, "max_tokens": limits.length,
            "streams": limits.streams, "queue": limits.queue, "seconds": limits.time.as_secs(),
        },
        "routes": [
            "GET /v1/models", "POST /v1/completions", "GET /v1/completions", "POST /v1/predict",
            "POST /v1/score", "POST /v1/inspect", "GET /v1/runs", "GET /v1/runs/sample",
            "GET /health", "GET /metrics", "GET /props",
        ],
        "runs": shared.options.runs.is_some(),
        "models": models.collect::<Vec<_>>(),
    }))
}

async fn completions(State(shared): App, headers: HeaderMap, body: Body) -> Answered {
    let fields = shared.fields(&headers, body).await?;
    shared.complete(fields).await
}

/// A stream for a browser's `EventSource`, which can only GET: the fields are in the query.
async fn completions_of_query(State(shared): App, Query(pairs): Query<Vec<(String, String)>>) -> Answered {
    let value = |name: &str, text: String| match TEXTS.contains(&name) {
        true => Value::String(text),
        false => serde_json::from_str(&text).unwrap_or(Value::String(text)),
    };
    let mut values = Map::new();
    for (name, text) in pairs {
        let value = value(&name, text);
        if values.insert(name.clone(), value).is_some() {
            return Err(Problem::field(&name, "is given twice; expected once"));
        }
    }
    values.insert("stream".into(), Value::Bool(true));
    shared.complete(Fields::new(values)).await
}

async fn predict(State(shared): App, headers: HeaderMap, body: Body) -> Answered {
    let mut fields = shared.fields(&headers, body).await?;
    let (name, engine) = shared.model(&mut fields)?;
    shared.timed(predictions::predict(engine, name, fields, &shared.options.limits)).await
}

async fn score(State(shared): App, headers: HeaderMap, body: Body) -> Answered {
    let mut fields = shared.fields(&headers, body).await?;
    let (name, engine) = shared.model(&mut fields)?;
    shared.timed(scores::score(engine, name, fields, &shared.options.limits)).await
}

async fn inspect(State(shared): App, headers: HeaderMap, body: Body) -> Answered {
    let mut fields = shared.fields(&headers, body).await?;
    let (name, engine) = shared.model(&mut fields)?;
    shared.timed(inspections::inspect(engine, name, fields)).await
}

impl Shared {
    /// Answer a question about the folder of runs, one at a time.
    async fn of_runs(
        &self,
        answer: impl FnOnce(&Path) -> Result<Value, Problem> + Send + 'static,
    ) -> Result<Value, Problem> {
        let Some(folder) = self.options.runs.clone() else {
            let problem = "no folder of runs is served; start the server with one";
            return Err(Problem::request(StatusCode::NOT_FOUND, problem));
        };
        let _place = self.runs_places.try_acquire().map_err(|_| Problem::busy())?;
        let turn = Arc::clone(&self.runs).acquire_owned().await;
        let found = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            answer(&folder)
        });
        found.await.map_err(|_| Problem::failure("the runs cannot be read"))?
    }

    /// Read the body of a request, within its size and time.
    async fn fields(&self, headers: &HeaderMap, body: Body) -> Result<Fields, Problem> {
        self.bodies.fields(headers, body, &self.options.limits).await
    }

    fn model(&self, fields: &mut Fields) -> Result<(&str, Arc<Engine>), Problem> {
        let name = fields.text("model")?;
        self.library.get(name.as_deref())
    }

    async fn complete(&self, mut fields: Fields) -> Answered {
        let arrived = Instant::now();
        let (name, engine) = self.model(&mut fields)?;
        let request = CompletionRequest::read(fields, &self.options.limits)?;
        complete(engine, name, request, &self.options.limits, arrived).await
    }

    /// Wait for an answer, within the time of a request.
    async fn timed(&self, answer: impl Future<Output = Result<Value, Problem>>) -> Answered {
        let answer = tokio::time::timeout(self.options.limits.time, answer).await;
        Ok(Json(answer.map_err(|_| Problem::timeout())??).into_response())
    }
}
