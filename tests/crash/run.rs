//! The whole of it: life after life, each ended by a kill, and the reckoning.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use reqwest::Method;
use tokio::sync::oneshot;

use crate::checker::{self, End, State};
use crate::clients::{self, Shared};
use crate::dice::Dice;
use crate::learners::SUBJECTS;
use crate::moment::{LONGEST, Moment};
use crate::process::{PATIENCE, Process, Server};
use crate::watch;

/// A run.
pub struct Run {
    data: PathBuf,
    copy: PathBuf,
    log: PathBuf,
    dice: Dice,
    shared: Arc<Shared>,
    state: State,
    kills: BTreeMap<&'static str, u64>,
}

/// What a run that found no fault has seen.
pub struct Summary(String);

impl fmt::Display for Summary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Run {
    /// A run in an empty folder.
    pub fn new(folder: &Path, dice: Dice) -> Self {
        let (data, copy, log) = (folder.join("data"), folder.join("copy"), folder.join("server.log"));
        Self { data, copy, log, dice, shared: Arc::new(Shared::new()), state: State::new(), kills: BTreeMap::new() }
    }

    /// Lives so many lives, each to its kill, then one to its end.
    pub async fn live(mut self, kills: u64) -> Result<Summary, String> {
        let started = Instant::now();
        self.create().await?;
        for life in 1..=kills {
            let moment = Moment::draw(&mut self.dice);
            self.life(moment).await.map_err(|fault| format!("life {life}, killed {moment:?}: {fault}"))?;
            *self.kills.entry(moment.name()).or_default() += 1;
            if life % 50 == 0 {
                println!("{life} kills after {} s", started.elapsed().as_secs());
            }
        }
        self.last_life().await?;
        let lived = started.elapsed();
        let mut summary = format!("{kills} kills {:?} in {} s", self.kills, lived.as_secs());
        for subject in SUBJECTS {
            let report = checker::lived_again(&self.data, subject)?;
            let number = |key: &str| report[key].as_u64().unwrap_or(0);
            let (rows, requests) = self.shared.ledger(subject).counts();
            summary += &format!(
                "\n{}: {rows} rows of {requests} requests, {} versions, {} growths, {} inputs, {} steps, lived again",
                subject.name(),
                number("versions"),
                number("growths"),
                number("inputs"),
                number("steps"),
            );
        }
        checker::log(&self.log)?;
        let facts = self.shared.facts();
        summary += &format!(
            "\n{} predictions, {} growth orders, {} deletions; {} s in all",
            facts.predictions,
            facts.orders.len(),
            facts.deletions,
            started.elapsed().as_secs()
        );
        Ok(Summary(summary))
    }

    async fn create(&mut self) -> Result<(), String> {
        let (process, told) = Process::spawn(&self.data, &self.log);
        let server = listening(told).await.ok_or("the first server does not listen")?;
        for subject in SUBJECTS {
            match server.send(Method::POST, "/v1/learners", Some(&subject.document())).await {
                Ok((201, _)) => {}
                other => return Err(format!("{} was not created: {other:?}", subject.name())),
            }
        }
        match process.terminate() {
            Some(0) => Ok(()),
            code => Err(format!("the first server ended with {code:?}")),
        }
    }

    /// One life, from its start to its kill.
    async fn life(&mut self, moment: Moment) -> Result<(), String> {
        self.shared.begin();
        let (mut process, told) = Process::spawn(&self.data, &self.log);
        let life = tokio::spawn(lived(self.shared.clone(), told, self.state.clone(), self.dice.split()));
        let database = self.data.join("perennial.db");
        let come = come(&self.shared, &database, process.started, moment);
        // Without what it waits for, a kill comes all the same.
        tokio::time::timeout(LONGEST, come).await.ok();
        if let Some(status) = process.ended() {
            return Err(format!("the server ended by itself: {status}"));
        }
        process.kill();
        self.shared.end();
        match tokio::time::timeout(PATIENCE, life).await {
            Ok(Ok(Ok(()) | Err(End::Gone))) => {}
            Ok(Ok(Err(End::Fault(fault)))) => return Err(fault),
            Ok(Err(panic)) => return Err(panic.to_string()),
            Err(_) => return Err("the clients of a killed server go on".into()),
        }
        if let Some(fault) = self.shared.facts().faults.first() {
            return Err(fault.clone());
        }
        self.state = checker::after_kill(&self.data, &self.copy, &self.state, &self.shared).await?;
        Ok(())
    }

    /// The last life ends by itself, after everything has come to rest.
    async fn last_life(&mut self) -> Result<(), String> {
        self.shared.begin();
        let (process, told) = Process::spawn(&self.data, &self.log);
        let server = listening(told).await.ok_or("the last server does not listen")?;
        let end = async {
            checker::after_start(&server, &self.state, &self.shared).await?;
            clients::resolve(&self.shared, &server).await?;
            checker::at_rest(&server, &self.shared).await
        };
        match end.await {
            Ok(()) => {}
            Err(End::Gone) => return Err("the last server is gone".into()),
            Err(End::Fault(fault)) => return Err(fault),
        }
        if let Some(fault) = self.shared.facts().faults.first() {
            return Err(fault.clone());
        }
        match process.terminate() {
            Some(0) => Ok(()),
            code => Err(format!("the last server ended with {code:?}")),
        }
    }
}

async fn listening(told: oneshot::Receiver<Server>) -> Option<Server> {
    tokio::time::timeout(PATIENCE, told).await.ok()?.ok()
}

/// What the world does with a server until it is gone: the checker looks, then the clients come.
async fn lived(shared: Arc<Shared>, told: oneshot::Receiver<Server>, state: State, mut dice: Dice) -> Result<(), End> {
    let Some(server) = listening(told).await else { return Err(End::Gone) };
    checker::after_start(&server, &state, &shared).await?;
    clients::run(&shared, &server, &mut dice).await;
    Ok(())
}

/// Returns when the moment has come.
async fn come(shared: &Shared, database: &Path, started: Instant, moment: Moment) {
    match moment {
        Moment::Any(after) | Moment::Starting(after) => tokio::time::sleep_until((started + after).into()).await,
        Moment::Publishing => watch::rises(database, watch::BLOBS_IN_FLIGHT).await,
        Moment::Deleting => watch::rises(database, watch::DELETIONS).await,
        Moment::Growing(after) => {
            watch::rises(database, watch::ORDERS).await;
            tokio::time::sleep(after).await;
        }
        Moment::Ingesting(nth, after) => {
            reaches(&shared.posts, nth).await;
            tokio::time::sleep(after).await;
        }
        Moment::Changing(after) => {
            reaches(&shared.changes, 1).await;
            tokio::time::sleep(after).await;
        }
    }
}

async fn reaches(counter: &AtomicU64, number: u64) {
    while counter.load(Ordering::Relaxed) < number {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
