//! `perennial grow`: a growth by hand.

use std::path::Path;

use anyhow::Context;
use clap::{ArgGroup, Args, ValueEnum};
use reqwest::Method;
use serde_json::{Value, json};

use super::Connection;
use super::client::{Body, Client, learner_path};
use super::learner::read_document;
use super::table::{table, text_at, whole_at};

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("what").required(true).args(["wider", "deeper", "inputs", "classes", "auto"])))]
pub struct GrowArguments {
    #[command(flatten)]
    connection: Connection,
    /// The learner.
    learner: String,
    /// More channels for this node, for several (`--wider a --wider b`), or for `all`.
    #[arg(long, value_name = "NODE|all")]
    wider: Vec<String>,
    /// A new layer after this node, after several, or after `all`.
    #[arg(long, value_name = "NODE|all")]
    deeper: Vec<String>,
    /// Inputs for new features: a list of features as in a learner's document, as JSON or in a file (JSON or TOML). Or for
    /// categories: `{"feature":"colour","categories":["red"]}`.
    #[arg(long, value_name = "FILE|JSON")]
    inputs: Option<String>,
    /// Outputs for these new classes.
    #[arg(long, value_name = "CLASS,…", value_delimiter = ',')]
    classes: Vec<String>,
    /// Whatever the policy would do next.
    #[arg(long)]
    auto: bool,
    /// Widen by this factor.
    #[arg(long, requires = "wider", conflicts_with = "to")]
    factor: Option<f64>,
    /// Widen to this many channels.
    #[arg(long, requires = "wider")]
    to: Option<u64>,
    /// How the copies of a widened unit share its outgoing weights.
    #[arg(long, requires = "wider", value_enum)]
    split: Option<SplitName>,
    /// What the new layer is.
    #[arg(long, requires = "deeper", value_enum)]
    kind: Option<KindName>,
    /// Show the plan and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Seconds to wait until the growth is committed.
    #[arg(long, default_value_t = 60)]
    wait: u64,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum SplitName {
    /// Unequal random shares.
    Replicate,
    /// Equal shares.
    Paper,
    /// New units with zero outgoing weights.
    Fresh,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum KindName {
    /// An identity layer.
    Identity,
    /// A residual branch that begins as zero.
    Residual,
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
    show_plan(event.get("plan").unwrap_or(event));
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
    Ok(reshaping(arguments))
}

/// What the server takes under `inputs`; a bare list is one of features.
fn inputs(text: &str) -> anyhow::Result<Value> {
    let document = match text.trim_start().starts_with(['{', '[']) {
        true => serde_json::from_str(text).context("--inputs takes JSON, or a file of it")?,
        false => read_document(Path::new(text))?,
    };
    Ok(if document.is_array() { json!({ "features": document }) } else { document })
}

/// An order that leaves what goes in and comes out as it is.
fn reshaping(arguments: &GrowArguments) -> Value {
    let nodes = |key: &str, names: &[String]| {
        if names.iter().any(|name| name == "all") { json!({"all": true}) } else { json!({ key: names }) }
    };
    if arguments.auto {
        return json!({"auto": true});
    }
    if arguments.wider.is_empty() {
        let mut deeper = match arguments.deeper.as_slice() {
            [one] if one != "all" => json!({ "after": one }),
            several => nodes("after", several),
        };
        if let Some(kind) = arguments.kind {
            deeper["kind"] = json!(match kind {
                KindName::Identity => "identity",
                KindName::Residual => "residual",
            });
        }
        return json!({ "deeper": deeper });
    }
    let mut wider = nodes("nodes", &arguments.wider);
    match (arguments.to, arguments.factor) {
        (Some(to), _) => wider["to"] = json!(to),
        (None, factor) => wider["factor"] = json!(factor.unwrap_or(2.0)),
    }
    if let Some(split) = arguments.split {
        wider["split"] = json!(match split {
            SplitName::Replicate => "replicate",
            SplitName::Paper => "paper",
            SplitName::Fresh => "fresh",
        });
    }
    json!({ "wider": wider })
}

/// The plan as a table: nodes touched, shapes and parameters before and after.
fn show_plan(plan: &Value) {
    let mut rows = table(&["node", "op", "shape before", "after", "parameters before", "after"], &[4, 5]);
    let touched = plan.get("touched").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    for node in touched {
        rows.add_row(vec![
            text_at(node, "/node"),
            text_at(node, "/op"),
            shape(node.get("shape_before")),
            shape(node.get("shape_after")),
            whole_at(node, "/parameters_before"),
            whole_at(node, "/parameters_after"),
        ]);
    }
    if !touched.is_empty() {
        println!("{rows}");
        println!(
            "{}: {} parameters before, {} after",
            text_at(plan, "/op"),
            whole_at(plan, "/parameters_before"),
            whole_at(plan, "/parameters_after")
        );
    }
}

fn shape(axes: Option<&Value>) -> String {
    let Some(axes) = axes.and_then(Value::as_array) else { return "new".into() };
    axes.iter().map(ToString::to_string).collect::<Vec<_>>().join("x")
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
