//! Hearing what is committed: one connection that listens, for as long as the store is open.
//!
//! A connection that is lost is made again, with pauses that grow; what was committed meanwhile was not heard, so
//! [`Change::Missed`] is told as soon as it listens again, and not before. A server that vanished without a word is found
//! out by asking it now and then. For the files of this folder alone.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::training::{Change, ChangeSender};

/// Where changes are notified.
pub(super) const CHANNEL: &str = "perennial";

/// How long nothing may be heard before the server is asked whether it is there.
const QUIET: Duration = Duration::from_secs(15);

/// How long it has to answer, and a new connection to be made.
const ANSWER: Duration = Duration::from_secs(5);

/// The first pause before a lost connection is made again; each is twice the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// The longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The task that listens; it ends with the store.
pub(super) struct Listening {
    stop: CancellationToken,
    task: TaskTracker,
}

impl Listening {
    /// Listens: what is committed from now on is told to whoever follows `changes`.
    pub(super) async fn start(options: &PgConnectOptions, changes: &ChangeSender) -> Result<Self, sqlx::Error> {
        let options = options.clone();
        let listener = listen(&options).await?;
        let (stop, task) = (CancellationToken::new(), TaskTracker::new());
        task.spawn(stop.clone().run_until_cancelled_owned(follow(options, listener, changes.clone())));
        task.close();
        Ok(Self { stop, task })
    }

    /// Ends the task, and its connection with it.
    pub(super) async fn end(&self) {
        self.stop.cancel();
        self.task.wait().await;
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn listen(options: &PgConnectOptions) -> Result<PgListener, sqlx::Error> {
    // A listener takes its connection from a pool: from one of its own, so that it waits neither for those who write nor
    // for a connection that was lost and cannot be closed.
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(ANSWER)
        .idle_timeout(None)
        .max_lifetime(None)
        .connect_lazy_with(options.clone());
    let mut listener = PgListener::connect_with(&pool).await?;
    listener.eager_reconnect(false);
    listener.listen(CHANNEL).await?;
    Ok(listener)
}

/// Tells what is heard, for ever.
async fn follow(options: PgConnectOptions, mut listener: PgListener, changes: ChangeSender) {
    loop {
        let reason = hear(&mut listener, &changes).await;
        tracing::warn!(%reason, "the connection that listens for changes is lost; it is made again");
        drop(listener);
        listener = listen_again(&options).await;
        tracing::info!("listening for changes again");
        changes.tell(Change::Missed);
    }
}

/// Tells what is heard until the connection is lost; why it is.
async fn hear(listener: &mut PgListener, changes: &ChangeSender) -> String {
    loop {
        match tokio::time::timeout(QUIET, listener.try_recv()).await {
            Ok(Ok(Some(notification))) => changes.tell(Change::parse(notification.payload())),
            Ok(Ok(None)) => return "the server closed it".into(),
            Ok(Err(error)) => return error.to_string(),
            Err(_) => match tokio::time::timeout(ANSWER, sqlx::query("SELECT 1").execute(&mut *listener)).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return error.to_string(),
                Err(_) => return "the server does not answer on it".into(),
            },
        }
    }
}

async fn listen_again(options: &PgConnectOptions) -> PgListener {
    let mut pause = FIRST_PAUSE;
    loop {
        match tokio::time::timeout(ANSWER, listen(options)).await {
            Ok(Ok(listener)) => return listener,
            Ok(Err(error)) => tracing::debug!(%error, "not listening for changes yet"),
            Err(_) => tracing::debug!("not listening for changes yet: no answer"),
        }
        tokio::time::sleep(pause).await;
        pause = (2 * pause).min(LONGEST_PAUSE);
    }
}
