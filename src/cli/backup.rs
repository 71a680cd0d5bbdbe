//! `perennial backup`: everything that a database keeps in one file, while a server serves.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::database::{DatabaseArguments, Steps, loads, print_report};
use super::table::whole;
use crate::store::maintenance::{Depth, Existing, Verifier, backup};

/// Save everything that a database keeps in one file, while a server serves and writes.
///
/// The file is a SQLite database, whatever it was made from, with the weights of every version, wherever they lie. It is one
/// moment of the database: examples that are acknowledged later are not in it. It takes its name only when it is whole,
/// synced and verified.
#[derive(Debug, Args)]
pub struct BackupArguments {
    /// The file to make.
    file: PathBuf,
    #[command(flatten)]
    database: DatabaseArguments,
    /// Replace the file if it is there.
    #[arg(long)]
    force: bool,
    /// Also read every row and document of the backup.
    #[arg(long)]
    deep: bool,
    /// Answer in JSON.
    #[arg(long)]
    json: bool,
}

pub async fn run(arguments: BackupArguments) -> anyhow::Result<()> {
    let database = arguments.database.database()?;
    let existing = if arguments.force { Existing::Replace } else { Existing::Refuse };
    let steps = Steps::start();
    let progress = |what: &str, count| steps.tell(what, count);
    let depth = if arguments.deep { Depth::Deep } else { Depth::Usual };
    let verifier = Verifier { depth, loads: &loads, progress: &progress };
    let report = backup(&database, &arguments.file, existing, verifier).await;
    steps.end();
    let report = report?;
    if arguments.json {
        println!("{:#}", json!(report));
        return Ok(());
    }
    match &report.verified {
        Some(verified) => print_report(verified),
        None => println!("the database is older than this build: its file was checked, not what it says"),
    }
    println!(
        "{}: {} bytes, one moment of the database, which was held for {} ms",
        arguments.file.display(),
        whole(report.bytes),
        whole(report.snapshot_ms)
    );
    Ok(())
}
