//! The options of the server.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use candle_core::Device;
use rnn_zoo_models::Precision;

/// A bundle to serve.
#[derive(Clone, Debug)]
pub struct BundleSource {
    /// The name that requests call it by.
    pub name: String,
    /// Its folder.
    pub path: PathBuf,
}

/// Options of a [`Server`](super::Server).
#[derive(Clone, Debug)]
pub struct Options {
    /// The bundles, with different names.
    pub bundles: Vec<BundleSource>,
    /// The folder of the runs that the page shows.
    pub runs: Option<PathBuf>,
    /// The address to listen on. Port 0 takes any that is free.
    pub address: SocketAddr,
    /// The device of the parameters.
    pub device: Device,
    /// The precision of matrix products.
    pub precision: Precision,
    /// Access control.
    pub access: Access,
    /// Limits of requests.
    pub limits: Limits,
}

/// Access control.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// The keys of which a request must name one; with none, every request is answered.
    pub keys: Vec<String>,
    /// Origins of web pages that may read answers.
    pub origins: Vec<String>,
    /// Whether only requests that name this machine in `Host` are answered. A web page could otherwise reach a
    /// loopback address through a name of its own (DNS rebinding).
    pub loopback_only: bool,
}

/// Limits of requests.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The largest body of a request, in bytes. A request that continues a text has its state in the body.
    pub body: usize,
    /// The most tokens of a prompt. Of inputs to predict, the most bytes of each; of texts to score, of all together.
    pub prompt: usize,
    /// The most tokens that a request may ask for.
    pub length: usize,
    /// The most texts that a bundle writes at a time.
    pub streams: usize,
    /// The most texts that wait for a place; further requests are answered with status 429.
    pub queue: usize,
    /// The time of a request, from its last byte to the last of the answer that its connection has buffered; and the
    /// time in which a client must take what is buffered for the connection.
    pub time: Duration,
    /// The time in which a client must send a request's header, and again its body.
    pub read: Duration,
    /// The time in which a client must take some bytes of an answer that is ready.
    pub write: Duration,
    /// The time that running requests have after the signal to end.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: 1 << 20,
            prompt: 32_768,
            length: 4096,
            streams: 64,
            queue: 256,
            time: Duration::from_secs(300),
            read: Duration::from_secs(10),
            write: Duration::from_secs(30),
            grace: Duration::from_secs(30),
        }
    }
}
