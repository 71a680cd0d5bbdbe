//! Connections that are cut in the middle of anything, and servers that are killed, while a client comes again and again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::{Database, Fresh, PostgresServer, PostgresStore, options, store};
use crate::store::suite::Bench as _;
use crate::store::suite::fixtures::{append, example, keyed, learner, numbers, request};
use crate::stream::{Append, Appended, LearnerId, Seq, StoreError, StreamStore as _};
use crate::training::{Change, Store as _};

/// How long anything may take before a test says that it hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// Cuts a connection of the store that is in the state that `condition` tells; how many were.
async fn cut(database: &Database<'_>, condition: &'static str) -> usize {
    let cut = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND application_name = 'perennial' AND {condition} LIMIT 1"
    );
    sqlx::query(sqlx::AssertSqlSafe(cut)).fetch_all(&mut database.connect().await).await.unwrap().len()
}

/// Cuts such a connection as soon as there is one.
async fn cut_next(database: &Database<'_>, condition: &'static str) {
    let start = Instant::now();
    while cut(database, condition).await == 0 {
        assert!(start.elapsed() < PATIENCE, "nothing is ever `{condition}`");
    }
}

/// A client that comes again with the same request until it has an answer.
async fn insist(store: &PostgresStore, request: impl Fn() -> Append) -> Appended {
    let start = Instant::now();
    loop {
        match store.append(vec![request()]).await {
            Ok(mut answers) => return answers.pop().unwrap().unwrap(),
            Err(error) => assert!(matches!(error, StoreError::Unavailable(_)), "{error}"),
        }
        assert!(start.elapsed() < PATIENCE, "the store never comes back");
        tokio::task::yield_now().await;
    }
}

/// Posts two examples in each of so many requests, half of them with keys and half with ids; counts what is acknowledged.
async fn client(store: PostgresStore, learner: LearnerId, requests: u64, acked: Arc<AtomicU64>) {
    for number in 0..requests {
        let value = number as f64;
        let answer = if number % 2 == 0 {
            let key = format!("key {number}");
            insist(&store, || keyed(learner, &key, 1, vec![example(None, value), example(None, value)])).await
        } else {
            let ids = [format!("{number} a"), format!("{number} b")];
            let examples = || ids.iter().map(|id| example(Some(id), value)).collect();
            insist(&store, || request(learner, examples())).await
        };
        assert_eq!(answer.accepted + answer.duplicates, 2);
        acked.fetch_add(1, Ordering::SeqCst);
    }
}

/// Every request of [`client`] stands in the stream, whole and once.
async fn all_once(store: &PostgresStore, learner: LearnerId, requests: u64) {
    let stored = numbers(store, learner).await;
    let expected: Vec<f64> = (0..requests).flat_map(|number| [number as f64; 2]).collect();
    assert_eq!(stored, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_cut_at_random_lose_nothing_and_write_nothing_twice() {
    const REQUESTS: u64 = 60;
    let fresh = Fresh::new();
    if !fresh.is_there() {
        return;
    }
    let database = fresh.database();
    let store = store(database).await;
    let learner = learner(&store, "digits").await.id;
    let acked = Arc::new(AtomicU64::new(0));
    let client = tokio::spawn(client(store.clone(), learner, REQUESTS, acked.clone()));
    let mut cuts = 0;
    while !client.is_finished() {
        let before = acked.load(Ordering::SeqCst);
        // Whatever is under way, and now and then the connection that listens.
        let condition = if cuts % 10 == 9 { "query LIKE 'LISTEN%'" } else { "state <> 'idle'" };
        cuts += cut(database, condition).await;
        // The client gets somewhere before the next cut, which comes at another moment each time.
        while acked.load(Ordering::SeqCst) == before && !client.is_finished() {
            tokio::task::yield_now().await;
        }
        for _ in 0..cuts * 37 % 101 {
            tokio::task::yield_now().await;
        }
    }
    client.await.unwrap();
    assert!(cuts > 5, "only {cuts} connections were cut");
    all_once(&store, learner, REQUESTS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_was_cut_between_two_appends_fails_neither() {
    let fresh = Fresh::new();
    if !fresh.is_there() {
        return;
    }
    let database = fresh.database();
    let store = store(database).await;
    let learner = learner(&store, "digits").await.id;
    for number in 1..=3 {
        append(&store, request(learner, vec![example(None, f64::from(number))])).await.unwrap();
        while cut(database, "state = 'idle' AND query LIKE '%COMMIT'").await > 0 {}
    }
    assert_eq!(numbers(&store, learner).await, [1.0, 2.0, 3.0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_is_cut_before_it_happened_is_done_once_when_the_client_comes_again() {
    let fresh = Fresh::new();
    if !fresh.is_there() {
        return;
    }
    let database = fresh.database();
    let store = store(database).await;
    let learner = learner(&store, "digits").await.id;
    // COMMIT itself waits, before it is done.
    let slow =
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(60); RETURN NULL; END';
                CREATE CONSTRAINT TRIGGER slow AFTER UPDATE ON streams DEFERRABLE INITIALLY DEFERRED
                FOR EACH ROW EXECUTE FUNCTION slow()";
    sqlx::raw_sql(slow).execute(&mut database.connect().await).await.unwrap();
    let call = move || keyed(learner, "k", 1, vec![example(Some("x"), 1.0)]);
    let first = tokio::spawn({
        let store = store.clone();
        async move { store.append(vec![call()]).await }
    });
    cut_next(database, "query LIKE '%COMMIT' AND state = 'active'").await;
    assert!(matches!(first.await.unwrap(), Err(StoreError::Unavailable(_))));
    sqlx::raw_sql("DROP TRIGGER slow ON streams").execute(&mut database.connect().await).await.unwrap();
    assert_eq!(insist(&store, call).await.accepted, 1);
    assert_eq!(numbers(&store, learner).await, [1.0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_is_cut_after_it_happened_is_found_by_its_key_and_by_its_ids() {
    let Some(server) = PostgresServer::start() else { return };
    let database = Database::new(&server);
    let store = store(&database).await;
    let learner = learner(&store, "digits").await.id;
    // From here on a COMMIT that has happened waits for a copy that never comes.
    server.run("ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
    server.run("SELECT pg_reload_conf()");
    let calls: [Box<dyn Fn(u64) -> Append + Send + Sync>; 2] = [
        Box::new(move |number| keyed(learner, &format!("key {number}"), 1, vec![example(None, number as f64)])),
        Box::new(move |number| request(learner, vec![example(Some(&format!("id {number}")), number as f64)])),
    ];
    let mut unanswered = Vec::new();
    let mut number = 0;
    for call in calls {
        // Until the server has read its new setting, commits are answered.
        let start = Instant::now();
        loop {
            assert!(start.elapsed() < PATIENCE, "no commit ever waits");
            let task = tokio::spawn({
                let (store, request) = (store.clone(), call(number));
                async move { store.append(vec![request]).await }
            });
            while !task.is_finished() && cut(&database, "wait_event = 'SyncRep'").await == 0 {}
            number += 1;
            match task.await.unwrap() {
                Ok(_) => {}
                Err(error) => {
                    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
                    break;
                }
            }
        }
        unanswered.push((call, number - 1));
    }
    server.run("ALTER SYSTEM RESET synchronous_standby_names");
    server.run("SELECT pg_reload_conf()");
    for (call, number) in unanswered {
        let answer = insist(&store, || call(number)).await;
        assert_eq!(answer.accepted + answer.duplicates, 1);
    }
    assert_eq!(numbers(&store, learner).await, (0..number).map(|number| number as f64).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_that_comes_back_is_used_again_without_help() {
    const REQUESTS: u64 = 60;
    let Some(server) = PostgresServer::start() else { return };
    let database = Database::new(&server);
    let store = PostgresStore::open(&options(&database).wait(Duration::from_secs(1))).await.unwrap();
    let learner = learner(&store, "digits").await.id;
    let mut changes = store.changes();
    let acked = Arc::new(AtomicU64::new(0));
    let client = tokio::spawn(client(store.clone(), learner, REQUESTS, acked.clone()));
    for kill in 1..=2 {
        while acked.load(Ordering::SeqCst) < kill * REQUESTS / 3 {
            tokio::task::yield_now().await;
        }
        tokio::task::block_in_place(|| {
            server.kill();
            server.restart();
        });
        let missed = async { while changes.next().await.expect("the store is open") != Change::Missed {} };
        tokio::time::timeout(PATIENCE, missed).await.expect("whoever follows is told that it missed something");
    }
    client.await.unwrap();
    all_once(&store, learner, REQUESTS).await;
    assert_eq!(append(&store, request(learner, vec![])).await.unwrap().head_seq, Seq(2 * REQUESTS));
}
