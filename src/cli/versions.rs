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
    let versions = all_versions(&client, &arguments.learner).await?;
    if arguments.connection.json {
        println!("{:#}", serde_json::json!({ "versions": versions }));
        return Ok(());
    }
    let columns = ["version", "parent", "cause", "trained seq", "network", "parameters", "holdout loss", "created at"];
    let mut rows = table(&columns, &[0, 1, 3, 5, 6]);
    for version in &versions {
        rows.add_row(vec![
            whole_at(version, "/version"),
            whole_at(version, "/parent"),
            text_at(version, "/cause/kind"),
            whole_at(version, "/trained_seq"),
            text_at(version, "/network/summary"),
            whole_at(version, "/network/parameters"),
            real_at(version, "/metrics/holdout_loss"),
            text_at(version, "/created_at"),
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
