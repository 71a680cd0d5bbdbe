//! `perennial versions`: a learner's versions, and the weights of one.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use serde_json::Value;

use super::Connection;
use super::client::{Client, learner_path};
use super::table::{real_at, table, text_at, whole_at};

#[derive(Debug, Args)]
pub struct VersionsArguments {
    #[command(flatten)]
    connection: Connection,
    /// The learner.
    learner: String,
    /// Save the weights of this version (safetensors).
    #[arg(long, value_name = "VERSION", requires = "output")]
    weights: Option<u64>,
    /// Show where this version comes from, parent by parent, with the growths on the way.
    #[arg(long, value_name = "VERSION", conflicts_with = "weights")]
    lineage: Option<u64>,
    /// Where to save them.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub async fn run(arguments: VersionsArguments) -> anyhow::Result<()> {
    let client = Client::new(&arguments.connection.server)?;
    if let (Some(version), Some(file)) = (arguments.weights, &arguments.output) {
        let path = learner_path(&arguments.learner, &format!("/versions/{version}/weights"));
        let bytes = client.get_bytes(&path).await?;
        std::fs::write(file, &bytes).with_context(|| format!("writing {}", file.display()))?;
        println!("saved {} bytes to {}", bytes.len(), file.display());
        return Ok(());
    }
    if let Some(version) = arguments.lineage {
        return show_lineage(&client, &arguments.learner, version, arguments.connection.json).await;
    }
    let versions = all_versions(&client, &arguments.learner).await?;
    if arguments.connection.json {
        println!("{:#}", serde_json::json!({ "versions": versions }));
        return Ok(());
    }
    let columns = [
        "version",
        "aliases",
        "parent",
        "cause",
        "trained seq",
        "network",
        "parameters",
        "holdout loss",
        "weights",
        "created at",
    ];
    let mut rows = table(&columns, &[0, 2, 4, 6, 7]);
    for version in &versions {
        rows.add_row(vec![
            whole_at(version, "/version"),
            aliases(version),
            whole_at(version, "/parent"),
            cause(version),
            whole_at(version, "/trained_seq"),
            text_at(version, "/network/summary"),
            whole_at(version, "/network/parameters"),
            real_at(version, "/metrics/holdout_loss"),
            if version["weights_kept"] == true { "kept".into() } else { String::new() },
            text_at(version, "/created_at"),
        ]);
    }
    println!("{rows}");
    Ok(())
}

/// The aliases that name a version; those that are pinned say so.
fn aliases(version: &Value) -> String {
    let marks = version["aliases"].as_array().map_or(&[][..], Vec::as_slice);
    let name = |mark: &Value| match mark["pinned"] == true {
        true => format!("{} (pinned)", text_at(mark, "/alias")),
        false => text_at(mark, "/alias"),
    };
    marks.iter().map(name).collect::<Vec<_>>().join(", ")
}

/// Why a version exists: for growths which kind, and who wanted it.
fn cause(version: &Value) -> String {
    let parts = ["/cause/kind", "/cause/op", "/cause/trigger"];
    let parts = parts.into_iter().filter_map(|part| version.pointer(part).and_then(Value::as_str));
    parts.collect::<Vec<_>>().join(" ")
}

/// Where a version comes from, parent by parent.
async fn show_lineage(client: &Client, learner: &str, version: u64, json_wanted: bool) -> anyhow::Result<()> {
    let mut lineage: Vec<Value> = Vec::new();
    let mut after = String::new();
    loop {
        let path = learner_path(learner, &format!("/versions/{version}/lineage?limit=100{after}"));
        let mut page = client.get(&path).await?;
        if let Some(Value::Array(more)) = page.get_mut("lineage").map(Value::take) {
            lineage.extend(more);
        }
        match page["next_after"].as_u64() {
            Some(last) => after = format!("&after={last}"),
            None => break,
        }
    }
    if json_wanted {
        println!("{:#}", serde_json::json!({ "version": version, "lineage": lineage }));
        return Ok(());
    }
    let columns =
        ["version", "aliases", "cause", "trained seq", "network before", "after", "max rel diff", "created at"];
    let mut rows = table(&columns, &[0, 3, 6]);
    for ancestor in &lineage {
        let difference = ancestor.pointer("/growth/certificate/max_rel_diff").and_then(Value::as_f64);
        rows.add_row(vec![
            whole_at(ancestor, "/version"),
            aliases(ancestor),
            cause(ancestor),
            whole_at(ancestor, "/trained_seq"),
            text_at(ancestor, "/growth/network_before"),
            text_at(ancestor, "/growth/network_after"),
            difference.map_or_else(|| "–".into(), |difference| format!("{difference:.1e}")),
            text_at(ancestor, "/created_at"),
        ]);
    }
    println!("{rows}");
    Ok(())
}

/// Every version of a learner, page by page.
async fn all_versions(client: &Client, learner: &str) -> anyhow::Result<Vec<Value>> {
    let mut versions: Vec<Value> = Vec::new();
    loop {
        let after = versions.last().and_then(|version| version["version"].as_u64()).unwrap_or(0);
        let path = learner_path(learner, &format!("/versions?limit=100&after={after}"));
        let mut page = client.get(&path).await?;
        let items = page.get_mut("versions").map(Value::take);
        match items {
            Some(Value::Array(items)) if !items.is_empty() => versions.extend(items),
            _ => return Ok(versions),
        }
    }
}
