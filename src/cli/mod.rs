//! The command line: the server, the demonstration, and a client of the HTTP surface for everything else.

mod alias;
mod backup;
mod client;
mod database;
mod demo;
mod device;
mod example;
mod explain;
mod grow;
mod growth;
mod growth_request;
mod ingest;
mod learner;
mod migrate;
mod opening;
mod plan_text;
mod predict;
mod records;
mod replay;
mod restore;
mod rollback;
mod serve;
pub mod server;
mod status;
mod table;
mod verify;
mod versions;
mod worker;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

/// A server for models that never stop learning.
///
/// It keeps every labelled example it is sent, trains on all of them, serves predictions from the best version so far,
/// and grows its networks as the data grow, without changing what they compute.
#[derive(Debug, Parser)]
#[command(name = "perennial", version, about, long_about, max_term_width = 110)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server.
    Serve(serve::ServeArguments),
    /// Train what servers take in; any number of workers share one Postgres.
    Worker(worker::WorkerArguments),
    /// Watch a network learn and grow on handwritten digits.
    Demo(demo::DemoArguments),
    /// List the devices that can train, or check one against the CPU.
    Device(device::DeviceArguments),
    /// Create, list, show, change and delete learners.
    Learner(learner::LearnerArguments),
    /// Stream a file of labelled examples to a learner; safe to run again after an interruption.
    Ingest(ingest::IngestArguments),
    /// Delete a single example of a learner's stream.
    Example(example::ExampleArguments),
    /// Predict the rows of a file or of the command line.
    Predict(predict::PredictArguments),
    /// Show what the learners of a server are doing.
    Status(status::StatusArguments),
    /// Make a network wider or deeper now, or give it new inputs or classes.
    Grow(grow::GrowArguments),
    /// Show a learner's growths and the policy's decisions, or explain what a growth would do.
    Growth(growth::GrowthArguments),
    /// Show a learner's versions, or save the weights of one.
    Versions(versions::VersionsArguments),
    Migrate(migrate::MigrateArguments),
    Backup(backup::BackupArguments),
    Restore(restore::RestoreArguments),
    Verify(verify::VerifyArguments),
    /// Prove that a learner is what its data and decisions make it: live its whole life again and compare every bit.
    Replay(replay::ReplayArguments),
    /// Name versions: set, list and delete aliases, and see who moved them.
    Alias(alias::AliasArguments),
    /// Serve an older version again, and stay there until unpinned.
    Rollback(rollback::RollbackArguments),
    /// Keep an alias where it is: the trainer goes on learning and does not move `live`.
    Pin(rollback::PinArguments),
    /// Let an alias move again; `live` moves at once to what the trainer accepted since it was pinned.
    Unpin(rollback::PinArguments),
}

/// How a client command reaches the server and answers.
#[derive(Debug, Args)]
struct Connection {
    /// The server's address.
    #[arg(long, global = true, env = "PERENNIAL_URL", default_value = "http://127.0.0.1:7878")]
    server: String,
    /// Answer in JSON.
    #[arg(long, global = true)]
    json: bool,
}

/// Runs the command line; the exit code is 0, or 1 after an error (2: the arguments make no sense).
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(async {
        match arguments.command {
            Command::Serve(arguments) => serve::run(arguments).await,
            Command::Worker(arguments) => worker::run(arguments).await,
            Command::Demo(arguments) => demo::run(arguments).await,
            Command::Device(arguments) => device::run(arguments).await,
            Command::Learner(arguments) => learner::run(arguments).await,
            Command::Ingest(arguments) => ingest::run(arguments).await,
            Command::Example(arguments) => example::run(arguments).await,
            Command::Predict(arguments) => predict::run(arguments).await,
            Command::Status(arguments) => status::run(arguments).await,
            Command::Grow(arguments) => grow::run(arguments).await,
            Command::Growth(arguments) => growth::run(arguments).await,
            Command::Versions(arguments) => versions::run(arguments).await,
            Command::Migrate(arguments) => migrate::run(arguments).await,
            Command::Backup(arguments) => backup::run(arguments).await,
            Command::Restore(arguments) => restore::run(arguments).await,
            Command::Verify(arguments) => verify::run(arguments).await,
            Command::Replay(arguments) => replay::run(arguments).await,
            Command::Alias(arguments) => alias::run(arguments).await,
            Command::Rollback(arguments) => rollback::run(arguments).await,
            Command::Pin(arguments) => rollback::pin(arguments).await,
            Command::Unpin(arguments) => rollback::unpin(arguments).await,
        }
    });
    // A trainer that was broken off may still wait for the runtime; the process does not wait for it.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests;
