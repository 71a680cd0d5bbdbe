//! `perennial example`: what can be done to a single example of a stream.

use anyhow::bail;
use clap::{Args, Subcommand};
use reqwest::Method;

use super::Connection;
use super::client::{Client, escaped, learner_path};
use super::table::whole_at;

#[derive(Debug, Args)]
pub struct ExampleArguments {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: ExampleCommand,
}

#[derive(Debug, Subcommand)]
enum ExampleCommand {
    /// Delete one example: its values and its label are gone, its place and its id stay taken.
    Delete {
        /// The learner.
        learner: String,
        /// The example's id.
        #[arg(required_unless_present = "seq", conflicts_with = "seq")]
        id: Option<String>,
        /// The example's place in the stream, for one without an id.
        #[arg(long, value_name = "SEQ")]
        seq: Option<u64>,
    },
}

pub async fn run(arguments: ExampleArguments) -> anyhow::Result<()> {
    let client = Client::new(&arguments.connection.server)?;
    match arguments.command {
        ExampleCommand::Delete { learner, id, seq } => {
            let rest = match (&id, seq) {
                (Some(id), _) if id.is_empty() => {
                    bail!("an empty id cannot stand in a path: give the place with --seq")
                }
                (Some(id), _) => format!("/examples/{}", escaped(id)),
                (None, Some(seq)) => format!("/examples?seq={seq}"),
                (None, None) => bail!("which example? Give its id, or its place with --seq"),
            };
            let answer = client.repeat(Method::DELETE, &learner_path(&learner, &rest), None).await?;
            if arguments.connection.json {
                println!("{answer:#}");
            } else {
                println!("deleted example {} of {learner}", whole_at(&answer, "/seq"));
            }
        }
    }
    Ok(())
}
