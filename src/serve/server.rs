//! The server from start to end.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::SystemTime;

use super::library::Library;
use super::listen::serve;
use super::metrics::Metrics;
use super::options::Options;
use super::report::report;
use super::routes::{Shared, router};
use crate::{Error, Result};

/// A server that has loaded its bundles and listens.
pub struct Server {
    listener: TcpListener,
    shared: Arc<Shared>,
    /// The sizes and times of the bundles' files before they were loaded.
    stamps: Vec<Vec<Option<(u64, SystemTime)>>>,
}

impl Server {
    /// Load the bundles, and listen.
    ///
    /// # Errors
    /// If a bundle cannot be loaded, or the address is taken.
    pub fn bind(options: Options) -> Result<Self> {
        let metrics = Arc::new(Metrics::new()?);
        let (library, stamps) = Library::load(&options, &metrics)?;
        let listener = TcpListener::bind(options.address).map_err(|error| {
            let (address, problem) = (options.address, crate::error::plain(&error));
            Error::Message(format!(
                "cannot listen on {address}: {problem}; choose another port with option `port`, or 0 for a free one"
            ))
        })?;
        listener.set_nonblocking(true).map_err(failed)?;
        Ok(Self { listener, shared: Arc::new(Shared::new(library, metrics, options)), stamps })
    }

    /// Return the address that the server listens on.
    ///
    /// # Errors
    /// Errors of the system.
    pub fn address(&self) -> Result<SocketAddr> {
        self.listener.local_addr().map_err(failed)
    }

    /// Answer requests until a signal to end (Ctrl-C, or SIGTERM on Unix); then let running ones end, up to
    /// the time of grace.
    ///
    /// # Errors
    /// Errors of the system.
    pub fn run(self) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(failed)?;
        let ended = runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(self.listener).map_err(failed)?;
            let Shared { library, metrics, options, .. } = &*self.shared;
            let watch = Arc::clone(library).watch(Arc::clone(options), Arc::clone(metrics), self.stamps);
            let watch = tokio::spawn(watch);
            let end = shutdown_signal().map_err(failed)?;
            serve(listener, router(Arc::clone(&self.shared)), &options.limits, end).await;
            watch.abort();
            Ok(())
        });
        // Requests that did not end in time are dropped.
        runtime.shutdown_background();
        ended
    }
}

#[allow(clippy::needless_pass_by_value)] // for `map_err`
fn failed(error: std::io::Error) -> Error {
    Error::Message(format!("the server failed: {error}"))
}

/// Wait for Ctrl-C or SIGTERM. A second one ends the program at once.
#[cfg(unix)]
fn shutdown_signal() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
        report("shutting down: running requests may still end; a second signal ends at once");
        tokio::spawn(async move {
            tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
            std::process::exit(130);
        });
    })
}

/// Wait for Ctrl-C.
#[cfg(not(unix))]
fn shutdown_signal() -> std::io::Result<impl Future<Output = ()>> {
    Ok(async {
        let _ = tokio::signal::ctrl_c().await;
    })
}
