//! The whole of it: life after life, each ended by a kill, and the reckoning.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use reqwest::Method;
use tokio::sync::oneshot;

use crate::checker::{self, End, State};
use crate::clients;
use crate::dice::Dice;
use crate::learners::{STREAMS, SUBJECTS, Subject};
use crate::moment::{LONGEST, Moment};
use crate::outage::Outage;
use crate::process::{PATIENCE, Process, Server};
use crate::shared::Shared;
use crate::storage::Storage;
use crate::watch;

/// On a Postgres server, which dies too: one of so many lives sees it die.
const LIVES_PER_OUTAGE: u64 = 4;

/// A run.
pub struct Run {
    storage: Storage,
    log: PathBuf,
    /// The log of lives whose database died.
    stormy_log: PathBuf,
    dice: Dice,
    shared: Arc<Shared>,
    state: State,
    kills: BTreeMap<&'static str, u64>,
    outages: u64,
}

/// What a run that found no fault has seen.
pub struct Summary(String);

impl fmt::Display for Summary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Run {
    /// A run on an empty database.
    pub fn new(storage: Storage, dice: Dice) -> Self {
        let folder = storage.data.with_file_name("logs");
        std::fs::create_dir_all(&folder).expect("a folder for logs");
        Self {
            storage,
            log: folder.join("server.log"),
            stormy_log: folder.join("outages.log"),
            dice,
            shared: Arc::new(Shared::new()),
            state: State::new(),
            kills: BTreeMap::new(),
            outages: 0,
        }
    }

    /// Lives so many lives, each to its kill, then one to its end.
    pub async fn live(mut self, kills: u64) -> Result<Summary, String> {
        let started = Instant::now();
        self.create().await?;
        for life in 1..=kills {
            let moment = Moment::draw(&mut self.dice);
            let is_stormy = self.storage.server().is_some() && life % LIVES_PER_OUTAGE == 0;
            let outage = is_stormy.then(|| Outage::draw(&mut self.dice));
            self.life(moment, outage)
                .await
                .map_err(|fault| format!("life {life}, killed {moment:?}, {outage:?}: {fault}"))?;
            *self.kills.entry(moment.name()).or_default() += 1;
            self.outages += u64::from(is_stormy);
            if life % 50 == 0 {
                println!("{life} kills after {} s", started.elapsed().as_secs());
            }
        }
        self.last_life().await?;
        let lived = started.elapsed();
        checker::verified(&self.storage)?;
        checker::log(&self.log, &["ERROR", "panicked"])?;
        checker::log(&self.stormy_log, &["panicked"])?;
        let mut summary = format!("{kills} kills {:?} in {} s", self.kills, lived.as_secs());
        for subject in SUBJECTS {
            summary += &self.proven(subject)?;
        }
        let ((drafts, replaced, deleted), facts) = (self.shared.drafts().counts(), self.shared.facts());
        summary += &format!(
            "\n{drafts} drafts, {replaced} replacements, {deleted} deletions\n{} predictions, {} growth orders, {} learners \
             deleted; the database died {} times, {} requests were refused meanwhile; {} s in all",
            facts.predictions,
            facts.orders.len(),
            facts.deletions,
            self.outages,
            facts.refused,
            started.elapsed().as_secs()
        );
        Ok(Summary(summary))
    }

    /// Lives a subject's life again; a line of what is the same.
    fn proven(&self, subject: Subject) -> Result<String, String> {
        let report = checker::lived_again(&self.storage, subject)?;
        let number = |key: &str| report[key].as_u64().unwrap_or(0);
        let stream = match STREAMS.contains(&subject) {
            true => {
                let (rows, requests) = self.shared.ledger(subject).counts();
                format!("{rows} rows of {requests} requests")
            }
            false => "before its corrections".into(),
        };
        Ok(format!(
            "\n{}: {stream}, {} versions, {} growths, {} inputs, {} steps, lived again",
            subject.name(),
            number("versions"),
            number("growths"),
            number("inputs"),
            number("steps"),
        ))
    }

    async fn create(&mut self) -> Result<(), String> {
        let (process, told) = Process::spawn(&self.storage, &self.log);
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
    async fn life(&mut self, moment: Moment, outage: Option<Outage>) -> Result<(), String> {
        self.shared.begin();
        let log = if outage.is_some() { &self.stormy_log } else { &self.log };
        let (mut process, told) = Process::spawn(&self.storage, log);
        let mut alive = true;
        let life = tokio::spawn(lived(self.shared.clone(), told, self.state.clone(), self.dice.split()));
        if let (Some(outage), Some(database)) = (outage, self.storage.server()) {
            alive = outage.happen(&self.shared, database, &mut process).await?;
        }
        if alive {
            let come = come(&self.shared, &self.storage, process.started, moment);
            // Without what it waits for, a kill comes all the same.
            tokio::time::timeout(LONGEST, come).await.ok();
            if let Some(status) = process.ended() {
                return Err(format!("the server ended by itself: {status}"));
            }
            process.kill();
        }
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
        self.state = checker::after_kill(&self.storage, &self.state, &self.shared).await?;
        Ok(())
    }

    /// The last life ends by itself, after everything has come to rest.
    async fn last_life(&mut self) -> Result<(), String> {
        self.shared.begin();
        let (process, told) = Process::spawn(&self.storage, &self.log);
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

/// The server, once it listens; `None` if it ended before.
pub async fn listening(told: oneshot::Receiver<Server>) -> Option<Server> {
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
async fn come(shared: &Shared, storage: &Storage, started: Instant, moment: Moment) {
    match moment {
        Moment::Any(after) | Moment::Starting(after) => tokio::time::sleep_until((started + after).into()).await,
        Moment::Publishing => watch::rises(storage, watch::BLOBS_IN_FLIGHT).await,
        Moment::Deleting => watch::rises(storage, watch::DELETIONS).await,
        Moment::Growing(after) => {
            watch::rises(storage, watch::ORDERS).await;
            tokio::time::sleep(after).await;
        }
        Moment::Ingesting(nth, after) => {
            reaches(&shared.posts, nth).await;
            tokio::time::sleep(after).await;
        }
        Moment::Correcting(nth, after) => {
            reaches(&shared.corrections, nth).await;
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
