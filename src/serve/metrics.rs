//! Figures for Prometheus.

use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};

use crate::{Error, Result};

/// Upper bounds of latencies, in seconds.
const LATENCIES: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1., 2.5, 5., 10., 60.];

/// Upper bounds of the number of texts in a step.
const BATCHES: [f64; 9] = [1., 2., 4., 8., 16., 32., 64., 128., 256.];

/// The figures of the server.
pub(super) struct Metrics {
    registry: Registry,
    /// Requests by route and status.
    pub requests: IntCounterVec,
    /// Seconds until a request's first byte of the answer, by route.
    pub latency: HistogramVec,
    tokens: IntCounterVec,
    queue: IntGaugeVec,
    streams: IntGaugeVec,
    batch: HistogramVec,
    first_token: HistogramVec,
}

/// The figures of a bundle.
#[derive(Clone)]
pub(super) struct BundleMetrics {
    /// Tokens of prompts.
    pub prompt_tokens: IntCounter,
    /// Tokens written.
    pub tokens: IntCounter,
    /// Texts that wait.
    pub queue: IntGauge,
    /// Texts that are written.
    pub streams: IntGauge,
    /// Texts in each step.
    pub batch: Histogram,
    /// Seconds until a text's first token.
    pub first_token: Histogram,
}

impl Metrics {
    /// Figures at zero.
    pub(super) fn new() -> Result<Self> {
        Self::registered().map_err(|error| Error::Message(format!("metrics: {error}")))
    }

    fn registered() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let histogram = |name: &str, help: &str, labels: &[&str], buckets: &[f64]| {
            let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
            let histogram = HistogramVec::new(options, labels)?;
            registry.register(Box::new(histogram.clone()))?;
            Ok::<_, prometheus::Error>(histogram)
        };
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let gauge = |name: &str, help: &str| {
            let gauge = IntGaugeVec::new(Opts::new(name, help), &["model"])?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        Ok(Self {
            requests: counter("rnn_requests_total", "Requests", &["route", "status"])?,
            latency: histogram(
                "rnn_request_seconds",
                "Seconds until an answer begins",
                &["route"],
                &LATENCIES,
            )?,
            tokens: counter("rnn_tokens_total", "Tokens", &["model", "kind"])?,
            queue: gauge("rnn_queue", "Texts that wait")?,
            streams: gauge("rnn_streams", "Texts that are written")?,
            batch: histogram("rnn_batch_size", "Texts in a step", &["model"], &BATCHES)?,
            first_token: histogram(
                "rnn_first_token_seconds",
                "Seconds until a text's first token",
                &["model"],
                &LATENCIES,
            )?,
            registry,
        })
    }

    /// The figures of a bundle.
    pub(super) fn of(&self, model: &str) -> BundleMetrics {
        BundleMetrics {
            prompt_tokens: self.tokens.with_label_values(&[model, "prompt"]),
            tokens: self.tokens.with_label_values(&[model, "completion"]),
            queue: self.queue.with_label_values(&[model]),
            streams: self.streams.with_label_values(&[model]),
            batch: self.batch.with_label_values(&[model]),
            first_token: self.first_token.with_label_values(&[model]),
        }
    }

    /// Prometheus' text format.
    pub(super) fn text(&self) -> String {
        let mut text = vec![];
        // Writing to memory does not fail.
        let _ = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        String::from_utf8_lossy(&text).into_owned()
    }
}
