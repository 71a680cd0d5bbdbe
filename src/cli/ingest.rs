//! `perennial ingest`: a file of labelled examples into a learner's stream.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use reqwest::Method;
use serde_json::{Value, json};

use super::Connection;
use super::client::{Body, Client, Problem, learner_path};
use super::records::{self, NeedsLabel, Reading, Record};

#[derive(Debug, Args)]
pub struct IngestArguments {
    #[command(flatten)]
    connection: Connection,
    /// The learner.
    learner: String,
    /// CSV with a header, NDJSON, or an IDX file of images; plain or gzipped.
    file: PathBuf,
    /// The column or key of the label [default: label].
    #[arg(long)]
    label: Option<String>,
    /// The column or key of the example's id; without it the id is the file's digest and the row's number, so that the
    /// same file can be sent again without harm.
    #[arg(long)]
    id: Option<String>,
    /// What stands between the values of a CSV file [default: found in its first line].
    #[arg(long)]
    delimiter: Option<char>,
    /// The file of labels that belongs to an IDX file of images.
    #[arg(long)]
    labels: Option<PathBuf>,
    /// Examples in one request.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    batch: u32,
    /// Send at most so many examples.
    #[arg(long)]
    limit: Option<u64>,
    /// Wait until everything is learned and training is idle.
    #[arg(long)]
    wait: bool,
}

/// What came of the examples sent.
#[derive(Debug, Default)]
struct Totals {
    accepted: u64,
    duplicates: u64,
    head: u64,
}

pub async fn run(arguments: IngestArguments) -> anyhow::Result<()> {
    let client = Client::new(&arguments.connection.server)?;
    let learner = client.get(&learner_path(&arguments.learner, "")).await?;
    let reading = Reading {
        label: arguments.label.clone(),
        id: arguments.id.clone(),
        delimiter: arguments.delimiter,
        labels: arguments.labels.clone(),
        needs_label: NeedsLabel::Yes,
    };
    let digest = records::digest(&arguments.file)?;
    let total = records::open(&arguments.file, &reading, &learner["schema"])?.count() as u64;
    let total = arguments.limit.map_or(total, |limit| limit.min(total));
    let records = records::open(&arguments.file, &reading, &learner["schema"])?;
    let bar = progress(total, arguments.connection.json);
    let regression = learner.pointer("/task/kind").and_then(Value::as_str) == Some("regression");
    let limit = usize::try_from(total).unwrap_or(usize::MAX);
    let mut totals = Totals::default();
    let mut batch = Vec::with_capacity(arguments.batch as usize);
    for record in records.take(limit) {
        batch.push(record?);
        if batch.len() == arguments.batch as usize {
            send(&client, &arguments.learner, &digest, regression, &mut batch, &mut totals).await?;
            bar.set_position(totals.accepted + totals.duplicates);
        }
    }
    if !batch.is_empty() {
        send(&client, &arguments.learner, &digest, regression, &mut batch, &mut totals).await?;
        bar.set_position(totals.accepted + totals.duplicates);
    }
    bar.finish_and_clear();
    if arguments.wait {
        wait_until_idle(&client, &arguments.learner, totals.head, arguments.connection.json).await?;
    }
    if arguments.connection.json {
        let Totals { accepted, duplicates, head } = totals;
        println!("{:#}", json!({"accepted": accepted, "duplicates": duplicates, "head_seq": head}));
    } else {
        let Totals { accepted, duplicates, head } = totals;
        println!("{accepted} accepted, {duplicates} were there already; the stream ends at {head}");
    }
    Ok(())
}

/// Sends a batch as NDJSON; with ids the server stores each example once, however often it comes.
async fn send(
    client: &Client,
    learner: &str,
    digest: &str,
    regression: bool,
    batch: &mut Vec<Record>,
    totals: &mut Totals,
) -> anyhow::Result<()> {
    let first = batch.first().map_or(0, |record| record.number);
    let last = batch.last().map_or(0, |record| record.number);
    let mut lines = Vec::new();
    for record in batch.drain(..) {
        let id = record.id.unwrap_or_else(|| format!("{digest}-{}", record.number));
        let label = record.label.map(|label| if regression { as_number(label) } else { label });
        serde_json::to_writer(&mut lines, &json!({"inputs": record.inputs, "label": label, "id": id}))?;
        lines.push(b'\n');
    }
    let body = Body { media_type: "application/x-ndjson", bytes: lines.into() };
    let answer = client.repeat(Method::POST, &learner_path(learner, "/examples"), Some(body)).await;
    let answer = answer.map_err(|error| match error.downcast::<Problem>() {
        Ok(problem) => anyhow::Error::from(problem)
            .context(format!("rows {first} to {last} were refused; /0 is row {first}, nothing of them was stored")),
        Err(error) => error.context(format!("sending rows {first} to {last}; run the same command again to go on")),
    })?;
    let count = |key: &str| answer.get(key).and_then(Value::as_u64).unwrap_or(0);
    totals.accepted += count("accepted");
    totals.duplicates += count("duplicates");
    totals.head = count("head_seq");
    Ok(())
}

/// A regression label from CSV is a text; the server wants a number.
fn as_number(label: Value) -> Value {
    let parsed = label.as_str().and_then(|text| text.parse::<f64>().ok()).and_then(serde_json::Number::from_f64);
    parsed.map_or(label, Value::Number)
}

/// Waits until the trainer stands at `head` and is idle.
pub async fn wait_until_idle(client: &Client, learner: &str, head: u64, quiet: bool) -> anyhow::Result<()> {
    let bar = progress(head, quiet);
    bar.set_message("learning");
    loop {
        let status = client.get(&learner_path(learner, "")).await?;
        let trained = status.get("trained_seq").and_then(Value::as_u64).context("the learner has no trained_seq")?;
        bar.set_position(trained);
        let state = status.pointer("/training/state").and_then(Value::as_str);
        if trained >= head && state == Some("idle") {
            bar.finish_and_clear();
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

fn progress(total: u64, quiet: bool) -> ProgressBar {
    if quiet {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} {per_sec} {eta} {msg}")
        .expect("the template is a constant without faults");
    ProgressBar::new(total).with_style(style)
}
