//! The server's loop: accepts connections, stops gracefully, and closes connections on which nothing happens.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;

use super::activity::Activity;
use super::router::router;
use super::state::AppState;
use super::worker::{self, WorkerState};
use crate::config::LimitsConfig;

/// Connections for every request that may run at once: more wait to be accepted.
const CONNECTIONS_PER_REQUEST: usize = 4;

/// Requests that a worker answers at once: probes and scrapes.
const WORKER_REQUESTS: usize = 16;

/// How much longer than a request a connection may stay without an answer on it.
const QUIET: Duration = Duration::from_secs(15);

/// Serves until `shutdown` completes; then what is under way has `deadline` to end.
///
/// # Errors
/// The listener failed.
pub async fn serve(
    listener: TcpListener,
    state: AppState,
    shutdown: impl Future<Output = ()> + Send + 'static,
    deadline: Duration,
) -> io::Result<()> {
    let limits = state.config.limits.clone();
    let signal = {
        let state = state.clone();
        async move {
            shutdown.await;
            state.begin_stop();
        }
    };
    serve_router(bounded(listener, &limits), router(state), signal, deadline).await
}

/// The same for a worker, which answers probes and metrics.
///
/// # Errors
/// The listener failed.
pub async fn serve_worker(
    listener: TcpListener,
    state: WorkerState,
    shutdown: impl Future<Output = ()> + Send + 'static,
    deadline: Duration,
) -> io::Result<()> {
    let limits = LimitsConfig { concurrency: WORKER_REQUESTS, ..LimitsConfig::default() };
    let signal = {
        let state = state.clone();
        async move {
            shutdown.await;
            state.begin_stop();
        }
    };
    serve_router(bounded(listener, &limits), worker::router(state), signal, deadline).await
}

async fn serve_router(
    listener: BoundedListener,
    router: Router,
    signal: impl Future<Output = ()> + Send + 'static,
    deadline: Duration,
) -> io::Result<()> {
    let (stopping, stopped) = tokio::sync::oneshot::channel::<()>();
    let signal = async move {
        signal.await;
        // The receiver goes only when the server has ended already.
        stopping.send(()).ok();
    };
    let service = router.into_make_service_with_connect_info::<Activity>();
    let mut server = pin!(axum::serve(listener, service).with_graceful_shutdown(signal).into_future());
    tokio::select! {
        outcome = &mut server => return outcome,
        _ = stopped => {}
    }
    match tokio::time::timeout(deadline, server).await {
        Ok(outcome) => outcome,
        Err(_) => {
            tracing::warn!(seconds = deadline.as_secs(), "requests were still under way at the deadline");
            Ok(())
        }
    }
}

fn bounded(listener: TcpListener, limits: &LimitsConfig) -> BoundedListener {
    let connections = Semaphore::new(limits.concurrency.saturating_mul(CONNECTIONS_PER_REQUEST).clamp(1, 1 << 20));
    let quiet = Duration::from_secs(limits.request_seconds) + QUIET;
    BoundedListener { listener, connections: Arc::new(connections), quiet }
}

/// A listener for a bounded number of connections.
struct BoundedListener {
    listener: TcpListener,
    connections: Arc<Semaphore>,
    quiet: Duration,
}

impl Listener for BoundedListener {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let permit = self.connections.clone().acquire_owned().await.expect("nobody closes this semaphore");
        let (stream, address) = Listener::accept(&mut self.listener).await;
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection stays with small packets delayed");
        }
        let sleep = Box::pin(tokio::time::sleep(self.quiet));
        let activity = Activity::default();
        (Connection { stream, sleep, quiet: self.quiet, activity, _permit: permit }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that ends when for `quiet` nothing was written to it and no action made progress on it: that holds for a client
/// that never finishes its header, that sends nothing after an answer, or that does not read its answer.
struct Connection {
    stream: TcpStream,
    sleep: Pin<Box<Sleep>>,
    quiet: Duration,
    activity: Activity,
    _permit: OwnedSemaphorePermit,
}

impl Connected<IncomingStream<'_, BoundedListener>> for Activity {
    fn connect_info(stream: IncomingStream<'_, BoundedListener>) -> Self {
        stream.io().activity.clone()
    }
}

impl Connection {
    /// `outcome`, unless it is to wait and the time is over.
    fn in_time<T>(&mut self, outcome: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if !outcome.is_pending() {
            return outcome;
        }
        loop {
            ready!(self.sleep.as_mut().poll(context));
            let until = self.activity.last() + self.quiet;
            if until <= self.sleep.deadline() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            self.sleep.as_mut().reset(until);
        }
    }

    fn wrote(&mut self, outcome: &Poll<io::Result<usize>>) {
        if matches!(outcome, Poll::Ready(Ok(1..))) {
            self.activity.touch();
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_read(context, into);
        self.in_time(outcome, context)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.wrote(&outcome);
        self.in_time(outcome, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.wrote(&outcome);
        self.in_time(outcome, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
