//! `perennial verify`: is everything that a database promises there and undamaged?

use anyhow::bail;
use clap::Args;
use serde_json::json;

use super::database::{DatabaseArguments, Steps, loads, print_report};
use crate::store::maintenance::{Depth, Verifier, verify};

/// Check that a database keeps what it promises; exit code 1 with every fault named.
///
/// Checked are: `seq`, journal and versions dense; cursors within their streams; parents, aliases and weights there; the
/// digests of all weights and optimizer states; the live version of every learner loadable; no rows without a learner. A
/// server may serve and write meanwhile. Faults name learners, versions and blobs by number and never quote values.
#[derive(Debug, Args)]
pub struct VerifyArguments {
    #[command(flatten)]
    database: DatabaseArguments,
    /// Also read every row and document, check that ids are unique, and let SQLite check its file (one long read).
    #[arg(long)]
    deep: bool,
    /// Answer in JSON.
    #[arg(long)]
    json: bool,
}

pub async fn run(arguments: VerifyArguments) -> anyhow::Result<()> {
    let database = arguments.database.database()?;
    let steps = Steps::start();
    let progress = |what: &str, count| steps.tell(what, count);
    let depth = if arguments.deep { Depth::Deep } else { Depth::Usual };
    let report = verify(&database, Verifier { depth, loads: &loads, progress: &progress }).await;
    steps.end();
    let report = report?;
    if arguments.json {
        println!("{:#}", json!(report));
    } else {
        print_report(&report);
        for fault in &report.faults {
            println!("fault: {fault}");
        }
    }
    match report.faults.len() {
        0 => Ok(()),
        1 => bail!("{} has a fault", database.name()),
        faults => bail!("{} has {faults} faults", database.name()),
    }
}
