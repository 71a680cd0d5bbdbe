//! `perennial grow`: a growth by hand.

use std::path::Path;

use anyhow::Context;
use clap::{ArgGroup, Args};
use reqwest::Method;
use serde_json::{Value, json};

use super::Connection;
use super::client::{Body, Client, learner_path};
use super::explain::show;
use super::growth_request::RequestArguments;
use super::learner::read_document;
use super::table::whole_at;
use crate::http::growth_view::PlanView;

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("what").required(true).args(["wider", "deeper", "inputs", "classes", "auto"])))]
pub struct GrowArguments {
    #[command(flatten)]
    connection: Connection,
    /// The learner.
    learner: String,
    #[command(flatten)]
    request: RequestArguments,
    /// Inputs for new features: a list of features as in a learner's document, as JSON or in a file (JSON or TOML). Or for
    /// categories: `{"feature":"colour","categories":["red"]}`.
    #[arg(long, value_name = "FILE|JSON", conflicts_with = "manner")]
    inputs: Option<String>,
    /// Outputs for these new classes.
    #[arg(long, value_name = "CLASS,…", value_delimiter = ',', conflicts_with = "manner")]
    classes: Vec<String>,
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
    if let Some(text) = &arguments.inputs {
        return Ok(json!({ "inputs": inputs(text)? }));
    }
    if !arguments.classes.is_empty() {
        return Ok(json!({ "classes": arguments.classes }));
    }
    Ok(arguments.request.document()?.unwrap_or_else(|| json!({"auto": true})))
}

/// What the server takes under `inputs`; a bare list is one of features.
fn inputs(text: &str) -> anyhow::Result<Value> {
    let document = match text.trim_start().starts_with(['{', '[']) {
        true => serde_json::from_str(text).context("--inputs takes JSON, or a file of it")?,
        false => read_document(Path::new(text))?,
    };
    Ok(if document.is_array() { json!({ "features": document }) } else { document })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: GrowArguments,
    }

    fn ordered(line: &[&str]) -> anyhow::Result<Value> {
        let words = ["grow", "cats"].into_iter().chain(line.iter().copied());
        order(&Line::try_parse_from(words)?.arguments)
    }

    #[test]
    fn new_inputs_and_classes_are_ordered_as_the_server_reads_them() {
        let feature = json!({"name": "humidity", "kind": "numeric"});
        let features = json!({"inputs": {"features": [feature]}});
        assert_eq!(ordered(&["--inputs", &json!([feature]).to_string()]).expect("an order"), features);
        assert_eq!(ordered(&["--inputs", &features["inputs"].to_string()]).expect("an order"), features);
        let file = tempfile::Builder::new().suffix(".toml").tempfile().expect("a file");
        let text = "[[features]]\nname = \"humidity\"\nkind = \"numeric\"\n";
        std::fs::write(file.path(), text).expect("written");
        assert_eq!(ordered(&["--inputs", file.path().to_str().expect("a path")]).expect("an order"), features);
        assert_eq!(ordered(&["--classes", "7,8"]).expect("an order"), json!({"classes": ["7", "8"]}));
    }

    #[test]
    fn one_growth_is_ordered_at_a_time() {
        assert!(ordered(&[]).is_err());
        assert!(ordered(&["--classes", "7", "--auto"]).is_err());
        assert!(ordered(&["--inputs", "[]", "--wider", "all"]).is_err());
        assert!(ordered(&["--inputs", "{"]).is_err());
    }
}
