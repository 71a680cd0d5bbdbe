//! `perennial learner`: create, list, show, change and delete learners.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::Value;

use super::Connection;
use super::client::{Body, Client, learner_path};
use super::table::{real_at, table, text_at, whole_at};

#[derive(Debug, Args)]
pub struct LearnerArguments {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: LearnerCommand,
}

#[derive(Debug, Subcommand)]
enum LearnerCommand {
    /// Create a learner from its document (JSON or TOML; `-` reads JSON from standard input).
    Create {
        /// The document.
        file: PathBuf,
    },
    /// List the learners.
    List,
    /// Show one learner: what it does, its features, its network (`--json`: everything that is known of it).
    Show {
        /// Its name.
        learner: String,
    },
    /// Change training or policy settings: a document with `training` and `policy`, only what changes.
    Set {
        /// Its name.
        learner: String,
        /// The document (JSON or TOML; `-` reads JSON from standard input).
        file: PathBuf,
    },
    /// Delete a learner with all its examples and versions.
    Delete {
        /// Its name.
        learner: String,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
}

pub async fn run(arguments: LearnerArguments) -> anyhow::Result<()> {
    let client = Client::new(&arguments.connection.server)?;
    let json = arguments.connection.json;
    match arguments.command {
        LearnerCommand::Create { file } => {
            let document = read_document(&file)?;
            let learner = client.send(Method::POST, "/v1/learners", Some(Body::json(&document))).await?;
            if json {
                println!("{learner:#}");
            } else {
                println!("created {} with {} parameters", text_at(&learner, "/name"), parameters(&learner));
            }
        }
        LearnerCommand::List => list(&client, json).await?,
        LearnerCommand::Show { learner } => {
            let document = client.get(&learner_path(&learner, "")).await?;
            if json {
                println!("{document:#}");
            } else {
                super::status::show(&document);
                show_features(&document);
            }
        }
        LearnerCommand::Set { learner, file } => {
            let body = Body::json(&read_document(&file)?);
            let answer = client.send(Method::PATCH, &learner_path(&learner, ""), Some(body)).await?;
            if json {
                println!("{answer:#}");
            } else {
                println!("changed {learner}");
            }
        }
        LearnerCommand::Delete { learner, yes } => {
            if !yes && !confirmed(&learner)? {
                bail!("nothing was deleted");
            }
            client.send(Method::DELETE, &learner_path(&learner, ""), None).await?;
            if json {
                println!("{:#}", serde_json::json!({ "deleted": learner }));
            } else {
                println!("deleted {learner}");
            }
        }
    }
    Ok(())
}

async fn list(client: &Client, json: bool) -> anyhow::Result<()> {
    let learners = all_learners(client).await?;
    if json {
        println!("{:#}", serde_json::json!({ "learners": learners }));
        return Ok(());
    }
    let mut rows = table(&["learner", "examples", "trained", "live", "parameters", "accuracy", "state"], &[1, 2, 3, 4]);
    for learner in &learners {
        rows.add_row(vec![
            text_at(learner, "/name"),
            whole_at(learner, "/head_seq"),
            whole_at(learner, "/trained_seq"),
            whole_at(learner, "/live/version"),
            parameters(learner),
            real_at(learner, "/metrics/progressive_accuracy"),
            text_at(learner, "/training/state"),
        ]);
    }
    println!("{rows}");
    Ok(())
}

/// The schema and the nodes of the network.
fn show_features(learner: &Value) {
    let list = |pointer: &str| learner.pointer(pointer).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let mut features = table(&["feature", "kind"], &[]);
    for feature in list("/schema/features") {
        features.add_row(vec![text_at(feature, "/name"), text_at(feature, "/kind")]);
    }
    println!("{features}");
    let mut nodes = table(&["node", "op", "channels"], &[2]);
    for node in list("/network/nodes") {
        nodes.add_row(vec![text_at(node, "/id"), text_at(node, "/op"), whole_at(node, "/channels")]);
    }
    println!("{nodes}");
}

/// Every learner of the server, page by page.
pub async fn all_learners(client: &Client) -> anyhow::Result<Vec<Value>> {
    let mut learners: Vec<Value> = Vec::new();
    loop {
        let after = learners.last().map(|learner| text_at(learner, "/name"));
        let path = after.map_or("/v1/learners?limit=100".into(), |name| format!("/v1/learners?limit=100&after={name}"));
        let mut page = client.get(&path).await?;
        let Some(Value::Array(items)) = page.get_mut("learners").map(Value::take) else {
            bail!("the answer has no learners; is this a Perennial server?");
        };
        if items.is_empty() {
            return Ok(learners);
        }
        learners.extend(items);
    }
}

/// A document in JSON or, if its name ends so, TOML.
pub fn read_document(file: &std::path::Path) -> anyhow::Result<Value> {
    if file.as_os_str() == "-" {
        return serde_json::from_reader(std::io::stdin().lock()).context("standard input is no JSON");
    }
    let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    if file.extension().is_some_and(|extension| extension == "toml") {
        return toml::from_str(&text).with_context(|| format!("{} is no TOML", file.display()));
    }
    serde_json::from_str(&text).with_context(|| format!("{} is no JSON", file.display()))
}

fn parameters(learner: &Value) -> String {
    whole_at(learner, "/network/parameters")
}

fn confirmed(learner: &str) -> anyhow::Result<bool> {
    use std::io::{BufRead, IsTerminal, Write};
    if !std::io::stdin().is_terminal() {
        bail!("deleting needs --yes where nobody can be asked");
    }
    print!("delete {learner} with all its examples and versions? Type its name to go on: ");
    std::io::stdout().flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(answer.trim() == learner)
}
