//! `perennial restore`: a backup into an empty database.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::database::{DatabaseArguments, Steps, loads, print_report};
use super::table::whole;
use crate::store::SoleProcess;
use crate::store::maintenance::{Database, Depth, Verifier, restore};

/// Fill an empty database from a backup.
///
/// The database is made or migrated if need be; one that has learners is refused. Everything is restored in one
/// transaction, then verified. Trainers begin with new leases. Weights come into the database itself.
#[derive(Debug, Args)]
pub struct RestoreArguments {
    /// The backup.
    file: PathBuf,
    #[command(flatten)]
    database: DatabaseArguments,
    /// Answer in JSON.
    #[arg(long)]
    json: bool,
}

pub async fn run(arguments: RestoreArguments) -> anyhow::Result<()> {
    let database = arguments.database.database()?;
    // Nobody serves the file while it is filled.
    let _sole = match &database {
        Database::Sqlite(path) => Some(SoleProcess::claim(path)?),
        Database::Postgres(_) => None,
    };
    let steps = Steps::start();
    let progress = |what: &str, count| steps.tell(what, count);
    let verifier = Verifier { depth: Depth::Usual, loads: &loads, progress: &progress };
    let report = restore(&arguments.file, &database, verifier).await;
    steps.end();
    let report = report?;
    if arguments.json {
        println!("{:#}", json!(report));
        return Ok(());
    }
    print_report(&report.verified);
    println!("restored {} rows into {}", whole(report.rows), database.name());
    Ok(())
}
