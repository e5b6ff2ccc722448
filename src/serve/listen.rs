//! Connections: accepted up to a limit, with limits of header and time, and a graceful shutdown.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1::Builder;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_io_timeout::TimeoutStream;

use super::flush_deadline::FlushDeadline;
use super::options::Limits;
use super::refusal_body::{RefusalBody, refusal};

/// The most connections. Others wait in the system's queue.
const CONNECTIONS: usize = 4096;

/// The most lines of a header.
const HEADER_LINES: usize = 64;

/// The largest header, in bytes; also the size of a connection's buffer.
const HEADER: usize = 32 << 10;

/// The pause after an error of accepting, such as too many open files.
const PAUSE: Duration = Duration::from_millis(20);

/// Answer connections until `end` is done, then let running requests end within the time of grace.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    limits: &Limits,
    end: impl Future<Output = ()>,
) {
    let mut http = Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.read)
        .max_headers(HEADER_LINES)
        .max_buf_size(HEADER);
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let refusal = refusal(&format!("{HEADER} bytes, or has more than {HEADER_LINES} lines"));
    tokio::pin!(end);
    loop {
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            accepted = accepted => accepted,
            () = &mut end => break,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        // Tokens are small packets, which must not wait for each other.
        let _ = stream.set_nodelay(true);
        let service = TowerToHyperService::new(router.clone());
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(limits.write));
        let stream =
            RefusalBody::new(FlushDeadline::new(Box::pin(stream), limits.time), Arc::clone(&refusal));
        let connection = graceful.watch(http.serve_connection(TokioIo::new(stream), service));
        tokio::spawn(async move {
            let _place = place;
            // Clients that break the connection, do not read their answer, or do not send HTTP are not reported.
            let _ = connection.await;
        });
    }
    drop(listener);
    let _ = tokio::time::timeout(limits.grace, graceful.shutdown()).await;
}
