//! `perennial migrate`: brings the tables of a database up to this build, or says what is pending and why.

use anyhow::bail;
use clap::Args;
use serde_json::json;

use super::database::DatabaseArguments;
use super::table::table;

/// Bring the tables of a database up to this build.
///
/// Every migration is one transaction: one that fails, or is killed, leaves the database as it was. `serve` does the same
/// at its start unless `storage.migrate` is false. A database of a newer build is refused.
#[derive(Debug, Args)]
pub struct MigrateArguments {
    #[command(flatten)]
    database: DatabaseArguments,
    /// Change nothing; exit code 1 if a migration is pending.
    #[arg(long)]
    check: bool,
    /// Answer in JSON.
    #[arg(long)]
    json: bool,
}

pub async fn run(arguments: MigrateArguments) -> anyhow::Result<()> {
    let database = arguments.database.database()?;
    if arguments.check {
        let state = database.migrations().await?;
        if arguments.json {
            println!("{:#}", json!(state));
        } else {
            let mut rows = table(&["migration", "state", "reason"], &[0]);
            for (state, migrations) in [("applied", &state.applied), ("pending", &state.pending)] {
                for migration in migrations {
                    rows.add_row(vec![migration.number.to_string(), state.to_owned(), migration.reason.clone()]);
                }
            }
            println!("{rows}");
        }
        if !state.pending.is_empty() {
            bail!("{} migrations are pending; run `perennial migrate`", state.pending.len());
        }
        return Ok(());
    }
    let applied = database.migrate().await?;
    if arguments.json {
        println!("{:#}", json!({ "applied": applied }));
        return Ok(());
    }
    for migration in &applied {
        println!("applied {}: {}", migration.number, migration.reason);
    }
    if applied.is_empty() {
        println!("{} is up to date", database.name());
    }
    Ok(())
}
