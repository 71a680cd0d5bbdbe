//! `perennial grow`: a growth by hand.

use anyhow::Context;
use clap::{ArgGroup, Args};
use reqwest::Method;
use serde_json::{Value, json};

use super::Connection;
use super::client::{Body, Client, learner_path};
use super::explain::show;
use super::growth_request::RequestArguments;
use super::table::whole_at;
use crate::http::growth_view::PlanView;

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("what").required(true).args(["wider", "deeper", "auto"])))]
pub struct GrowArguments {
    #[command(flatten)]
    connection: Connection,
    /// The learner.
    learner: String,
    #[command(flatten)]
    request: RequestArguments,
    /// Whatever the policy would do next.
    #[arg(long, conflicts_with = "manner")]
    auto: bool,
    /// Show the plan and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Seconds to wait until the growth is committed.
    #[arg(long, default_value_t = 60)]
    wait: u64,
}

pub async fn run(arguments: GrowArguments) -> anyhow::Result<()> {
    let client = Client::new(&arguments.connection.server)?;
    let query = if arguments.dry_run { "?dry_run=true".into() } else { format!("?wait={}", arguments.wait) };
    let path = learner_path(&arguments.learner, &format!("/growth{query}"));
    let answer = client.send(Method::POST, &path, Some(Body::json(&order(&arguments)?))).await?;
    if arguments.connection.json {
        println!("{answer:#}");
        return Ok(());
    }
    let event = answer.get("event").filter(|event| !event.is_null()).unwrap_or(&answer);
    if let Some(plan) = event.get("plan") {
        show(&serde_json::from_value::<PlanView>(plan.clone()).context("the answer's plan is of another version")?);
    }
    if arguments.dry_run {
        println!("a dry run: nothing was changed");
    } else if event.get("version").is_some() {
        let difference = event.pointer("/certificate/max_rel_diff").and_then(Value::as_f64).unwrap_or(f64::NAN);
        println!("version {}: largest relative difference {difference:.1e}", whole_at(event, "/version"));
    } else {
        println!("ordered; see it with `perennial growth {}`", arguments.learner);
    }
    Ok(())
}

fn order(arguments: &GrowArguments) -> anyhow::Result<Value> {
    Ok(arguments.request.document()?.unwrap_or_else(|| json!({"auto": true})))
}
