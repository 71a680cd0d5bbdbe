//! `perennial predict`: answers for the rows of a file or of the command line; with labels also how many are right.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{ArgGroup, Args};
use reqwest::Method;
use serde_json::{Value, json};

use super::Connection;
use super::client::{Body, Client, learner_path};
use super::records::{self, NeedsLabel, Reading, Record};

/// Rows in one request.
const BATCH: usize = 200;

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("what").required(true).args(["file", "inputs"])))]
pub struct PredictArguments {
    #[command(flatten)]
    connection: Connection,
    /// The learner.
    learner: String,
    /// A file of rows: CSV with a header, NDJSON, or an IDX file of images; plain or gzipped.
    file: Option<PathBuf>,
    /// One row as a JSON object of features.
    #[arg(long)]
    inputs: Option<String>,
    /// The column or key of the label, if the file has one: then the accuracy is shown instead of the answers.
    #[arg(long)]
    label: Option<String>,
    /// The file of labels that belongs to an IDX file of images.
    #[arg(long)]
    labels: Option<PathBuf>,
    /// What stands between the values of a CSV file [default: found in its first line].
    #[arg(long)]
    delimiter: Option<char>,
    /// The version that answers, by number or alias [default: the live one].
    #[arg(long)]
    version: Option<String>,
    /// Show the most probable classes only.
    #[arg(long)]
    top: Option<u64>,
}

/// How many answers were right, or how far off.
#[derive(Debug, Default)]
struct Score {
    rows: u64,
    right: u64,
    squared_error: f64,
}

pub async fn run(arguments: PredictArguments) -> anyhow::Result<()> {
    let client = Client::new(&arguments.connection.server)?;
    let json_lines = arguments.connection.json;
    let records = rows(&client, &arguments).await?;
    let path = match arguments.top {
        Some(top) => format!("/predict?top={top}"),
        None => "/predict".into(),
    };
    let path = learner_path(&arguments.learner, &path);
    let most = arguments.top.map_or(1, |top| usize::try_from(top).unwrap_or(usize::MAX));
    let mut score = Score::default();
    let mut batch: Vec<Record> = Vec::with_capacity(BATCH);
    let mut records = records.peekable();
    while let Some(record) = records.next() {
        batch.push(record?);
        if batch.len() < BATCH && records.peek().is_some() {
            continue;
        }
        let inputs: Vec<&serde_json::Map<String, Value>> = batch.iter().map(|record| &record.inputs).collect();
        let mut body = json!({ "inputs": inputs });
        if let Some(version) = &arguments.version {
            body["version"] = json!(version);
        }
        let answer = client.repeat(Method::POST, &path, Some(Body::json(&body))).await?;
        let predictions = answer["predictions"].as_array().context("the answer has no predictions")?;
        for (record, prediction) in batch.drain(..).zip(predictions) {
            match &record.label {
                Some(label) => score.add(label, prediction),
                None if json_lines => println!("{prediction}"),
                None => println!("{}: {}", record.number, in_words(prediction, most)),
            }
        }
    }
    if score.rows > 0 {
        score.show(json_lines);
    }
    Ok(())
}

async fn rows(client: &Client, arguments: &PredictArguments) -> anyhow::Result<records::Records> {
    if let Some(text) = &arguments.inputs {
        let inputs = serde_json::from_str(text).context("--inputs takes one JSON object")?;
        return Ok(Box::new(std::iter::once(Ok(Record { number: 1, inputs, label: None, id: None }))));
    }
    let Some(file) = &arguments.file else { bail!("give a file or --inputs") };
    let learner = client.get(&learner_path(&arguments.learner, "")).await?;
    let reading = Reading {
        label: arguments.label.clone(),
        delimiter: arguments.delimiter,
        labels: arguments.labels.clone(),
        needs_label: NeedsLabel::No,
        ..Reading::default()
    };
    records::open(file, &reading, &learner["schema"])
}

impl Score {
    fn add(&mut self, label: &Value, prediction: &Value) {
        self.rows += 1;
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        if let Some(value) = prediction.get("value").and_then(Value::as_f64) {
            let wanted = text(label).parse().unwrap_or(f64::NAN);
            self.squared_error += (value - wanted) * (value - wanted);
        } else if prediction.get("label").map(text) == Some(text(label)) {
            self.right += 1;
        }
    }

    fn show(&self, json_lines: bool) {
        let rows = self.rows as f64;
        let (name, figure) = if self.squared_error == 0.0 {
            ("accuracy", self.right as f64 / rows)
        } else {
            ("root_mean_squared_error", (self.squared_error / rows).sqrt())
        };
        if json_lines {
            println!("{}", json!({"rows": self.rows, name: figure}));
        } else {
            println!("{}: {figure:.4} over {} rows", name.replace('_', " "), self.rows);
        }
    }
}

fn in_words(prediction: &Value, most: usize) -> String {
    if let Some(value) = prediction.get("value") {
        return value.to_string();
    }
    let all = prediction.get("probabilities").and_then(Value::as_object);
    let mut classes: Vec<(&str, f64)> =
        all.into_iter().flatten().filter_map(|(class, share)| Some((class.as_str(), share.as_f64()?))).collect();
    classes.sort_by(|one, other| other.1.total_cmp(&one.1));
    let shown: Vec<String> = classes.iter().take(most).map(|(class, share)| format!("{class} ({share:.3})")).collect();
    if shown.is_empty() { "no class yet".into() } else { shown.join(", ") }
}
