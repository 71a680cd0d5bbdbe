//! The clients of one life of the server: they post, correct, predict, order growths, change settings, create and delete, until
//! the server is gone. Whatever they learn for certain stands in [`Shared`] for the checker.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::corrections;
use crate::dice::Dice;
use crate::learners::{DOOMED, STREAMS, SUBJECTS, Subject};
use crate::ledger::Post;
use crate::process::{Gone, Server};
use crate::shared::{Database, Facts, Shared};

/// All clients of a life; returns when the server is gone.
pub async fn run(shared: &Arc<Shared>, server: &Server, dice: &mut Dice) {
    let mut tasks = tokio::task::JoinSet::new();
    for subject in [Subject::Points, Subject::Points, Subject::Prices, Subject::Shapes] {
        let (shared, server, dice) = (shared.clone(), server.clone(), dice.split());
        tasks.spawn(async move { ingest(&shared, &server, subject, dice).await });
    }
    let (others, there, its) = (shared.clone(), server.clone(), dice.split());
    tasks.spawn(async move { corrections::run(&others, &there, its).await });
    let (others, there, its) = (shared.clone(), server.clone(), dice.split());
    tasks.spawn(async move { predict(&others, &there, its).await });
    let (others, there, its) = (shared.clone(), server.clone(), dice.split());
    tasks.spawn(async move { operate(&others, &there, its).await });
    while let Some(ended) = tasks.join_next().await {
        match ended {
            // It ended because the server did, or because it was asked to.
            Ok(Ok(()) | Err(Gone)) => {}
            Err(error) => shared.fault(format!("a client panicked: {error}")),
        }
    }
}

async fn ingest(shared: &Shared, server: &Server, subject: Subject, mut dice: Dice) -> Result<(), Gone> {
    while shared.goes_on() {
        let post = shared.ledger(subject).next(&mut dice);
        shared.posts.fetch_add(1, Ordering::Relaxed);
        send(shared, server, subject, post).await?;
        tokio::time::sleep(Duration::from_millis(20 + dice.below(130))).await;
    }
    Ok(())
}

async fn send(shared: &Shared, server: &Server, subject: Subject, post: Post) -> Result<(), Gone> {
    let path = format!("/v1/learners/{}/examples", subject.name());
    let database = shared.facts().database;
    match server.send_keyed(Method::POST, &path, Some(&post.body), post.key.as_deref()).await {
        Ok((status, _)) if shared.is_excused(status) => {
            shared.ledger(subject).lost(&post);
            Ok(())
        }
        Ok((status, answer)) => {
            let outcome = shared.ledger(subject).answered(&post, status, &answer);
            outcome.unwrap_or_else(|fault| shared.fault(fault));
            if status == 200 && database == Database::Back {
                *shared.facts().taken_again.entry(subject).or_default() += 1;
            }
            Ok(())
        }
        Err(Gone) => {
            shared.ledger(subject).lost(&post);
            Err(Gone)
        }
    }
}

/// Sends again whatever nobody knows the outcome of.
pub async fn resolve(shared: &Shared, server: &Server) -> Result<(), Gone> {
    for subject in STREAMS {
        loop {
            let post = shared.ledger(subject).unknown();
            let Some(post) = post else { break };
            send(shared, server, subject, post).await?;
        }
    }
    corrections::resolve(shared, server).await
}

async fn predict(shared: &Shared, server: &Server, mut dice: Dice) -> Result<(), Gone> {
    while shared.goes_on() {
        let subject = *dice.one_of(&SUBJECTS);
        let version = predict_live(shared, server, subject).await?;
        if dice.percent(40) {
            predict_again(shared, server, subject, version).await?;
        }
        tokio::time::sleep(Duration::from_millis(10 + dice.below(60))).await;
    }
    Ok(())
}

/// Predicts by what is live; its version.
pub async fn predict_live(shared: &Shared, server: &Server, subject: Subject) -> Result<u64, Gone> {
    let path = format!("/v1/learners/{}/predict", subject.name());
    let body = json!({"inputs": [subject.inputs(7)]});
    let (status, answer) = server.send(Method::POST, &path, Some(&body)).await?;
    let version = answer["version"].as_u64().filter(|_| status == 200);
    let mut facts = shared.facts();
    facts.predictions += 1;
    let Some(version) = version else {
        facts.faults.push(format!("{}: a prediction was answered {status}: {answer}", subject.name()));
        return Ok(0);
    };
    let served = facts.served.entry(subject).or_default();
    *served = (*served).max(version);
    keep_answer(&mut facts, (subject, version), &answer);
    Ok(version)
}

/// Asks a version for what it has answered already.
async fn predict_again(shared: &Shared, server: &Server, subject: Subject, version: u64) -> Result<(), Gone> {
    let path = format!("/v1/learners/{}/predict", subject.name());
    let body = json!({"inputs": [subject.inputs(7)], "version": version});
    let (status, answer) = server.send(Method::POST, &path, Some(&body)).await?;
    let mut facts = shared.facts();
    match status {
        200 => keep_answer(&mut facts, (subject, version), &answer),
        // It was live a moment ago, and many versions may have come since.
        _ if answer["code"] == "weights_gone" => {}
        // Only what is live is sure to be in memory.
        503 if facts.database != Database::There => {}
        _ => facts.faults.push(format!("{}: version {version} was answered {status}: {answer}", subject.name())),
    }
    Ok(())
}

/// A version answers the same for ever, to the last bit.
fn keep_answer(facts: &mut Facts, place: (Subject, u64), answer: &Value) {
    let answered = without_ids(&answer["predictions"]);
    let first = facts.answers.entry(place).or_insert_with(|| answered.clone());
    if *first != answered {
        let fault = format!("{}: version {} answered {answered}, at first {first}", place.0.name(), place.1);
        facts.faults.push(fault);
    }
}

fn without_ids(predictions: &Value) -> Value {
    let mut predictions = predictions.clone();
    for prediction in predictions.as_array_mut().into_iter().flatten() {
        if let Some(members) = prediction.as_object_mut() {
            members.remove("prediction_id");
        }
    }
    predictions
}

async fn operate(shared: &Shared, server: &Server, mut dice: Dice) -> Result<(), Gone> {
    while shared.goes_on() {
        match dice.below(10) {
            0..3 => order(shared, server, &mut dice).await?,
            3..5 => change(shared, server, &mut dice).await?,
            5..8 => doom(shared, server).await?,
            _ => look(shared, server, &mut dice).await?,
        }
        tokio::time::sleep(Duration::from_millis(20 + dice.below(150))).await;
    }
    Ok(())
}

/// Orders a growth and does not wait for it.
async fn order(shared: &Shared, server: &Server, dice: &mut Dice) -> Result<(), Gone> {
    let subject = *dice.one_of(&SUBJECTS);
    let order = dice.one_of(&subject.orders()).clone();
    let path = format!("/v1/learners/{}/growth?wait=0", subject.name());
    let (status, answer) = server.send(Method::POST, &path, Some(&order)).await?;
    match status {
        200 | 422 => {}
        _ if shared.is_excused(status) => {}
        202 => {
            let location = answer["location"].as_str().map(str::to_owned);
            let location = location.unwrap_or_else(|| format!("an order without a place: {answer}"));
            shared.facts().orders.push(location);
        }
        _ => shared.fault(format!("{}: {order} was answered {status}: {answer}", subject.name())),
    }
    Ok(())
}

/// Changes a learning rate to one that was never there.
async fn change(shared: &Shared, server: &Server, dice: &mut Dice) -> Result<(), Gone> {
    let subject = *dice.one_of(&SUBJECTS);
    let (index, rate) = {
        let mut facts = shared.facts();
        let rates = facts.rates.entry(subject).or_default();
        let rate = 0.002 + 1e-6 * rates.len() as f64;
        rates.push((rate, false));
        (rates.len() - 1, rate)
    };
    shared.changes.fetch_add(1, Ordering::Relaxed);
    let mut training = json!({"learning_rate": rate});
    if dice.percent(30) {
        training["optimizer"] = (*dice.one_of(&["adam", "sgd", "rmsprop"])).into();
    }
    let path = format!("/v1/learners/{}", subject.name());
    let (status, answer) = server.send(Method::PATCH, &path, Some(&json!({ "training": training }))).await?;
    if shared.is_excused(status) {
        return Ok(());
    }
    if status != 200 {
        shared.fault(format!("{}: a change was answered {status}: {answer}", subject.name()));
    } else if let Some(rates) = shared.facts().rates.get_mut(&subject) {
        rates[index].1 = true;
    }
    Ok(())
}

/// Creates the doomed learner, or deletes it.
async fn doom(shared: &Shared, server: &Server) -> Result<(), Gone> {
    let path = format!("/v1/learners/{DOOMED}");
    let known = shared.facts().doomed.take();
    if known == Some(true) {
        let body = json!({"examples": (0..40).map(|n| Subject::Points.example(n)).collect::<Vec<Value>>()});
        let (status, answer) = server.send(Method::POST, &format!("{path}/examples"), Some(&body)).await?;
        if status != 200 && !shared.is_excused(status) {
            shared.fault(format!("{DOOMED}: examples were answered {status}: {answer}"));
        }
        let (status, answer) = server.send(Method::DELETE, &path, None).await?;
        if shared.is_excused(status) {
            return Ok(());
        }
        let mut facts = shared.facts();
        facts.doomed = Some(false);
        facts.deletions += 1;
        if status != 204 {
            facts.faults.push(format!("{DOOMED}: its deletion was answered {status}: {answer}"));
        }
        return Ok(());
    }
    let mut document = Subject::Points.document();
    document["name"] = DOOMED.into();
    let (status, answer) = server.send(Method::POST, "/v1/learners", Some(&document)).await?;
    if shared.is_excused(status) {
        return Ok(());
    }
    let mut facts = shared.facts();
    facts.doomed = Some(true);
    let expected = if known.is_none() { &[201, 409][..] } else { &[201] };
    if !expected.contains(&status) {
        facts.faults.push(format!("{DOOMED}: its creation was answered {status}: {answer}"));
    }
    Ok(())
}

/// Reads what must always be readable.
async fn look(shared: &Shared, server: &Server, dice: &mut Dice) -> Result<(), Gone> {
    let name = dice.one_of(&SUBJECTS).name();
    let below = dice.one_of(&["", "/growth", "/versions?limit=5", "/examples?limit=5"]);
    for path in [format!("/v1/learners/{name}{below}"), "/v1/learners".into(), "/readyz".into(), "/metrics".into()] {
        let (status, answer) = server.get(&path).await?;
        let excused = path.starts_with("/v1") && shared.is_excused(status);
        if status != 200 && !excused {
            shared.fault(format!("GET {path} was answered {status}: {answer}"));
        }
    }
    Ok(())
}
