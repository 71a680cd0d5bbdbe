//! `perennial rollback`, `pin` and `unpin`: what an operator does when the newest version is not the best.

use clap::Args;
use reqwest::Method;
use serde_json::{Value, json};

use super::Connection;
use super::alias::{Why, alias_path, show_change};
use super::client::{Body, Client, learner_path};
use super::table::whole_at;

#[derive(Debug, Args)]
pub struct RollbackArguments {
    #[command(flatten)]
    connection: Connection,
    /// The learner.
    learner: String,
    /// The version to go back to [default: the newest older version that was live].
    #[arg(long, value_name = "VERSION")]
    to: Option<u64>,
    /// Only if `live` is still in this generation.
    #[arg(long, value_name = "N")]
    if_generation: Option<u64>,
    #[command(flatten)]
    why: Why,
}

#[derive(Debug, Args)]
pub struct PinArguments {
    #[command(flatten)]
    connection: Connection,
    /// The learner.
    learner: String,
    /// The alias.
    #[arg(default_value = "live")]
    alias: String,
    #[command(flatten)]
    why: Why,
}

pub async fn run(arguments: RollbackArguments) -> anyhow::Result<()> {
    let client = Client::new(&arguments.connection.server)?;
    let mut body = reason(&arguments.why);
    if let Some(to) = arguments.to {
        body["to"] = json!(to);
    }
    let path = learner_path(&arguments.learner, "/rollback");
    let headers = arguments.why.headers(arguments.if_generation);
    let answer = client.send_with(Method::POST, &path, Some(Body::json(&body)), &headers).await?;
    show_change(&answer, arguments.connection.json);
    if !arguments.connection.json {
        let from = whole_at(&answer, "/from");
        println!("it named version {from}; it stays until `perennial unpin {}`", arguments.learner);
    }
    Ok(())
}

pub async fn pin(arguments: PinArguments) -> anyhow::Result<()> {
    change(arguments, "/pin").await
}

pub async fn unpin(arguments: PinArguments) -> anyhow::Result<()> {
    change(arguments, "/unpin").await
}

async fn change(arguments: PinArguments, action: &str) -> anyhow::Result<()> {
    let client = Client::new(&arguments.connection.server)?;
    let path = alias_path(&arguments.learner, &arguments.alias, action);
    let body = Body::json(&reason(&arguments.why));
    let answer = client.send_with(Method::POST, &path, Some(body), &arguments.why.headers(None)).await?;
    show_change(&answer, arguments.connection.json);
    Ok(())
}

fn reason(why: &Why) -> Value {
    why.reason.as_ref().map_or_else(|| json!({}), |reason| json!({ "reason": reason }))
}
