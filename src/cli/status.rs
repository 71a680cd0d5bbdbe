//! `perennial status`: what the learners of a server are doing.

use clap::Args;
use serde_json::Value;

use super::Connection;
use super::client::{Client, learner_path};
use super::learner::all_learners;
use super::table::{real_at, table, text_at, whole_at};

#[derive(Debug, Args)]
pub struct StatusArguments {
    #[command(flatten)]
    connection: Connection,
    /// Only this learner.
    learner: Option<String>,
}

pub async fn run(arguments: StatusArguments) -> anyhow::Result<()> {
    let client = Client::new(&arguments.connection.server)?;
    let learners = match &arguments.learner {
        Some(learner) => vec![client.get(&learner_path(learner, "")).await?],
        None => all_learners(&client).await?,
    };
    if arguments.connection.json {
        println!("{:#}", serde_json::json!({ "learners": learners }));
        return Ok(());
    }
    if learners.is_empty() {
        println!("no learners yet: create one with `perennial learner create FILE`");
    }
    for learner in &learners {
        show(learner);
    }
    Ok(())
}

/// The live version, and what holds it there.
fn live(learner: &Value) -> String {
    let version = whole_at(learner, "/live/version");
    match (learner.pointer("/live/pinned"), learner.pointer("/live/waiting").and_then(Value::as_u64)) {
        (Some(Value::Bool(true)), Some(waiting)) => format!("{version} (pinned; version {waiting} waits)"),
        (Some(Value::Bool(true)), None) => format!("{version} (pinned)"),
        _ => version,
    }
}

/// What one learner does, as a table.
pub fn show(learner: &Value) {
    let lines = [
        ("state", text_at(learner, "/training/state")),
        ("trained by", text_at(learner, "/training/holder")),
        ("examples", whole_at(learner, "/head_seq")),
        ("trained", whole_at(learner, "/trained_seq")),
        ("steps", whole_at(learner, "/training/steps")),
        ("live version", live(learner)),
        ("network", text_at(learner, "/network/summary")),
        ("parameters", whole_at(learner, "/network/parameters")),
        ("accuracy before learning", real_at(learner, "/metrics/progressive_accuracy")),
        ("the same, newest rows", real_at(learner, "/metrics/recent_accuracy")),
        ("loss before learning", real_at(learner, "/metrics/progressive_loss")),
        ("holdout loss", real_at(learner, "/metrics/holdout_loss")),
        ("holdout accuracy", real_at(learner, "/metrics/holdout_accuracy")),
    ];
    let mut rows = table(&["learner", &text_at(learner, "/name")], &[]);
    for (name, value) in lines {
        rows.add_row(vec![name.to_owned(), value]);
    }
    println!("{rows}");
}
