//! `perennial growth`: a learner's growths and the policy's decisions; with `explain`, what a growth would do.

use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::Value;

use super::Connection;
use super::client::{Client, learner_path};
use super::explain::{self, ExplainArguments};
use super::table::{table, text_at, whole_at};

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct GrowthArguments {
    #[command(flatten)]
    connection: Connection,
    /// The learner; one that is called like a command is reached by `perennial growth -- explain`.
    #[arg(required = true)]
    learner: Option<String>,
    /// Show the newest decisions of the policy, with their reasons, too.
    #[arg(long)]
    decisions: bool,
    #[command(subcommand)]
    pub(super) command: Option<GrowthCommand>,
}

#[derive(Debug, Subcommand)]
pub enum GrowthCommand {
    /// Explain what a growth would do, without doing it: on any network offline, or on a learner.
    Explain(Box<ExplainArguments>),
}

pub async fn run(arguments: GrowthArguments) -> anyhow::Result<()> {
    if let Some(GrowthCommand::Explain(explain)) = arguments.command {
        return explain::run(*explain, &arguments.connection).await;
    }
    let learner = arguments.learner.context("name a learner")?;
    let client = Client::new(&arguments.connection.server)?;
    let history = client.get(&learner_path(&learner, "/growth?limit=1000")).await?;
    if arguments.connection.json {
        println!("{history:#}");
        return Ok(());
    }
    let list = |key: &str| history.get(key).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let columns = ["op", "trigger", "seq", "version", "network before", "after", "parameters", "max rel diff"];
    let mut rows = table(&columns, &[2, 3, 6, 7]);
    for event in list("events") {
        let difference = event.pointer("/certificate/max_rel_diff").and_then(Value::as_f64);
        rows.add_row(vec![
            text_at(event, "/op"),
            text_at(event, "/trigger"),
            whole_at(event, "/seq"),
            whole_at(event, "/version"),
            text_at(event, "/network_before"),
            text_at(event, "/network_after"),
            whole_at(event, "/plan/parameters_after"),
            difference.map_or_else(|| "–".into(), |difference| format!("{difference:.1e}")),
        ]);
    }
    println!("{rows}");
    for refusal in list("refusals") {
        println!("refused at {}: {}", whole_at(refusal, "/seq"), text_at(refusal, "/detail"));
    }
    if arguments.decisions {
        for record in list("decisions") {
            show_decision(record);
        }
    }
    Ok(())
}

fn show_decision(record: &Value) {
    let grows = record.pointer("/decision/grow").is_some_and(|grow| !grow.is_null());
    println!("at {}: {}", whole_at(record, "/seq"), if grows { "grow" } else { "do not grow" });
    let reasons = record.pointer("/decision/reasons").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    for reason in reasons {
        let holds = reason.get("holds").and_then(Value::as_bool).unwrap_or(false);
        println!("  {} {}: {}", if holds { "+" } else { "-" }, text_at(reason, "/term"), text_at(reason, "/detail"));
    }
}
