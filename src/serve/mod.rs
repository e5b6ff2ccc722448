//! The HTTP server of `rnn serve`: OpenAI's routes for completions, routes for the other tasks, and a page.
//!
//! | file | contents |
//! |---|---|
//! | `server.rs`, `report.rs` | the server from start to end; messages |
//! | `listen.rs`, `flush_deadline.rs`, `refusal_body.rs` | connections and their limits |
//! | `options.rs` | options and limits |
//! | `routes.rs`, `access.rs` | routes; keys, hosts, origins |
//! | `completions.rs`, `completion_request.rs`, `completion_reply.rs` | `/v1/completions` |
//! | `token.rs`, `prompt_tokens.rs` | tokens with their alternatives; those of a prompt |
//! | `predictions.rs`, `scores.rs`, `inspections.rs` | `/v1/predict`, `/v1/score`, `/v1/inspect` |
//! | `runs.rs`, `samples.rs` | `/v1/runs`, `/v1/runs/sample` |
//! | `engine.rs`, `text_batch.rs`, `job.rs` | the thread of a bundle, which writes all its texts side by side |
//! | `library.rs` | the bundles, and their replacement while the server runs |
//! | `state_token.rs` | the signed state of a text, which a client keeps |
//! | `problem.rs`, `bodies.rs`, `fields.rs` | errors in OpenAI's shape; the body of a request and its fields |
//! | `whole_body.rs` | the body of a whole completion |
//! | `metrics.rs` | figures for Prometheus |
//! | `page.rs`, `page/` | the page |

mod access;
mod bodies;
mod completion_reply;
mod completion_request;
mod completions;
mod engine;
mod fields;
mod flush_deadline;
mod inspections;
mod job;
mod library;
mod listen;
mod metrics;
mod options;
mod page;
mod predictions;
mod problem;
mod prompt_tokens;
mod refusal_body;
mod report;
mod routes;
mod runs;
mod samples;
mod scores;
mod server;
mod state_token;
mod text_batch;
mod token;
mod whole_body;

pub use options::{Access, BundleSource, Limits, Options};
pub use server::Server;
