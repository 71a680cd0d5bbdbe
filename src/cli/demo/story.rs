//! The demonstration itself: posts the stream, tells what happens, and measures on the rows kept back.

use std::time::Duration;

use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressStyle};
use reqwest::Method;
use serde_json::{Value, json};

use super::digits::{Digit, Digits};
use super::report::{Growth, Report, Standing};
use crate::cli::client::{Body, Client, learner_path};

/// Examples of one request at most; the stream starts with single ones and swells.
const LARGEST_REQUEST: usize = 32;

/// Rows of a round of the demonstration's learner.
pub const ROUND: usize = 64;

/// How far the stream runs ahead of the trainer: there is always a round to learn.
const BACKLOG: u64 = ROUND as u64;

/// How long the whole demonstration may take before it says that something is wrong.
const PATIENCE: Duration = Duration::from_secs(600);

/// Creates the learner, streams the digits and returns what came of it.
pub async fn tell(client: &Client, learner: &str, document: &Value, digits: &Digits) -> anyhow::Result<Report> {
    let created = client.send(Method::POST, "/v1/learners", Some(Body::json(document))).await?;
    let network = created["network"]["summary"].as_str().unwrap_or_default().to_owned();
    println!("learner {learner}: network {network}, {} parameters", created["network"]["parameters"]);
    let mut story = Story {
        client,
        learner,
        kept_back: &digits.kept_back,
        bar: progress(digits.stream.len()),
        growths_seen: 0,
        versions_seen: 1,
        growths: Vec::new(),
    };
    let start = story.standing(1, 0).await?;
    story.line(&format!(
        "version 1, untrained: {:.4} on the {} rows kept back",
        start.accuracy,
        digits.kept_back.len()
    ));
    let told = tokio::time::timeout(PATIENCE, story.stream(&digits.stream)).await;
    let (version, examples) = told.context("the demonstration takes far longer than it should")??;
    let end = story.standing(version, examples).await?;
    story.bar.finish_and_clear();
    Ok(Report { start, growths: story.growths, end })
}

struct Story<'a> {
    client: &'a Client,
    learner: &'a str,
    kept_back: &'a [Digit],
    bar: ProgressBar,
    growths_seen: usize,
    versions_seen: u64,
    growths: Vec<Growth>,
}

impl Story<'_> {
    /// Posts every row, then waits until training is idle; the live version and the place it was trained to.
    async fn stream(&mut self, rows: &[Digit]) -> anyhow::Result<(u64, u64)> {
        let mut posted = 0;
        while posted < rows.len() {
            let mut size = (posted / 8 + 1).min(LARGEST_REQUEST).min(rows.len() - posted);
            if (posted + size).is_multiple_of(ROUND) && posted + size < rows.len() {
                // At the end of a round the trainer would take the stream for quiet.
                size += 1;
            }
            let examples: Vec<Value> = rows[posted..posted + size]
                .iter()
                .zip(posted..)
                .map(|(digit, index)| json!({"inputs": digit.inputs(), "label": digit.label, "id": index.to_string()}))
                .collect();
            let body = Body::json(&json!({ "examples": examples }));
            self.client.repeat(Method::POST, &self.path("/examples"), Some(body)).await?;
            posted += size;
            self.bar.set_position(posted as u64);
            while self.look().await?.trained + BACKLOG < posted as u64 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        self.line("the stream has ended; the trainer goes over its history until that no longer helps");
        while self.look().await?.trained < (posted - posted % ROUND) as u64 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let last_round = Body::json(&json!({"training": {"round_wait_ms": 0}}));
        self.client.repeat(Method::PATCH, &self.path(""), Some(last_round)).await?;
        loop {
            let seen = self.look().await?;
            if seen.trained >= posted as u64 && seen.idle {
                return Ok((seen.live, seen.trained));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Looks at the learner and tells what is new.
    async fn look(&mut self) -> anyhow::Result<Seen> {
        let status = self.client.get(&self.path("")).await?;
        let number = |pointer: &str| status.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
        let state = status.pointer("/training/state").and_then(Value::as_str).unwrap_or_default();
        if state == "failed" {
            bail!("the trainer failed; its log says why");
        }
        if let Some(accuracy) = status.pointer("/metrics/recent_accuracy").and_then(Value::as_f64) {
            self.bar.set_message(format!("right before learning, newest rows: {accuracy:.3}"));
        }
        self.tell_growths().await?;
        self.tell_versions(&status).await?;
        Ok(Seen { trained: number("/trained_seq"), live: number("/live/version"), idle: state == "idle" })
    }

    async fn tell_growths(&mut self) -> anyhow::Result<()> {
        let history = self.client.get(&self.path("/growth?limit=1000")).await?;
        let events = history["events"].as_array().cloned().unwrap_or_default();
        for event in events.iter().skip(self.growths_seen) {
            let growth = self.measure(event).await?;
            self.line(&format!(
                "{} by {} at {}: {} → {} ({} → {} parameters)",
                growth.op,
                growth.trigger,
                growth.seq,
                event["network_before"].as_str().unwrap_or_default(),
                growth.network,
                growth.parameters_before,
                growth.parameters_after,
            ));
            for reason in event["reasons"].as_array().map_or(&[][..], Vec::as_slice) {
                self.line(&format!("    why: {}", reason["detail"].as_str().unwrap_or_default()));
            }
            let limit = event.pointer("/certificate/limit").and_then(Value::as_f64).unwrap_or(f64::NAN);
            self.line(&format!(
                "    certificate: largest relative difference {:.1e} (limit {limit:.0e}); kept back {:.4} → {:.4}",
                growth.max_rel_diff, growth.accuracy_before, growth.accuracy_after
            ));
            self.growths.push(growth);
            self.growths_seen += 1;
        }
        Ok(())
    }

    async fn tell_versions(&mut self, status: &Value) -> anyhow::Result<()> {
        let path = self.path(&format!("/versions?limit=100&after={}", self.versions_seen));
        let page = self.client.get(&path).await?;
        for version in page["versions"].as_array().map_or(&[][..], Vec::as_slice) {
            let number = version["version"].as_u64().context("a version without a number")?;
            let accuracy = self.accuracy(number).await?;
            let progressive = status.pointer("/metrics/progressive_accuracy").and_then(Value::as_f64);
            self.line(&format!(
                "version {number} ({}), trained to {}: {accuracy:.4} kept back, {:.4} right before learning",
                version.pointer("/cause/kind").and_then(Value::as_str).unwrap_or_default(),
                version["trained_seq"],
                progressive.unwrap_or(0.0),
            ));
            self.versions_seen = number;
        }
        Ok(())
    }

    async fn measure(&self, event: &Value) -> anyhow::Result<Growth> {
        let text = |key: &str| event[key].as_str().unwrap_or_default().to_owned();
        let whole = |pointer: &str| {
            event.pointer(pointer).and_then(Value::as_u64).with_context(|| format!("a growth without {pointer}"))
        };
        let real = |pointer: &str| {
            event.pointer(pointer).and_then(Value::as_f64).with_context(|| format!("a growth without {pointer}"))
        };
        Ok(Growth {
            op: text("op"),
            trigger: text("trigger"),
            seq: whole("/seq")?,
            parameters_before: whole("/plan/parameters_before")?,
            parameters_after: whole("/plan/parameters_after")?,
            accuracy_before: self.accuracy(whole("/teacher")?).await?,
            accuracy_after: self.accuracy(whole("/version")?).await?,
            max_abs_diff: real("/certificate/max_abs_diff")?,
            max_rel_diff: real("/certificate/max_rel_diff")?,
            network: text("network_after"),
        })
    }

    async fn standing(&self, version: u64, examples: u64) -> anyhow::Result<Standing> {
        let document = self.client.get(&self.path(&format!("/versions/{version}"))).await?;
        Ok(Standing {
            examples,
            network: document["network"]["summary"].as_str().unwrap_or_default().to_owned(),
            parameters: document["network"]["parameters"].as_u64().unwrap_or(0),
            accuracy: self.accuracy(version).await?,
        })
    }

    /// The share of the rows kept back that this version answers right, by the predict endpoint.
    async fn accuracy(&self, version: u64) -> anyhow::Result<f64> {
        let inputs: Vec<Value> = self.kept_back.iter().map(Digit::inputs).collect();
        let body = Body::json(&json!({"inputs": inputs, "version": version}));
        let answer = self.client.repeat(Method::POST, &self.path("/predict?top=1"), Some(body)).await?;
        let predictions = answer["predictions"].as_array().context("the answer has no predictions")?;
        let is_right = |(digit, prediction): &(&Digit, &Value)| {
            prediction["label"].as_str().is_some_and(|label| label.parse() == Ok(digit.label))
        };
        let right = self.kept_back.iter().zip(predictions).filter(is_right).count();
        Ok(right as f64 / self.kept_back.len() as f64)
    }

    fn path(&self, rest: &str) -> String {
        learner_path(self.learner, rest)
    }

    /// A line that stays, above the progress bar.
    fn line(&self, text: &str) {
        self.bar.suspend(|| println!("{text}"));
    }
}

/// What a look at the learner found.
struct Seen {
    trained: u64,
    live: u64,
    idle: bool,
}

fn progress(rows: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} examples, {msg}")
        .expect("the template is a constant without faults");
    ProgressBar::new(rows as u64).with_style(style)
}
