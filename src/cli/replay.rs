//! `perennial replay`: a learner's life lived again from the database, and held against what is recorded.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::table::table;
use crate::config::{self, Config, Overrides};
use crate::store::{PostgresOptions, PostgresStore, SqliteStore, StoreOptions};
use crate::stream::LearnerName;
use crate::training::Store;
use crate::training::life::{Again, Difference, Lived, Report, live_again};

/// Reads the learner's stream and journal from the database, which is not changed and may be in use by a server, and lives
/// its life again in a scratch database: the same rows, and the journal's rounds, passes, growth orders and settings at
/// their places. Every result of the journal, every version (its weights by their digest) and the checkpoint with its
/// optimizer state must come out the same to the last bit.
///
/// The exit code is 0 if everything is the same; 1 if anything differs, with the first difference and its place in the
/// journal, or if the life is not recorded whole. It takes as long as the training took, waiting apart, and the scratch
/// database as much room as the learner's examples. A learner that was trained on a GPU, or on a processor with other vector
/// instructions, differs in rounding. Of a learner whose examples were corrected only the life before the first of them can be
/// lived again, and the exit code is 1: the values that it was learned with are gone. A life is lived by the rules of this
/// build; what an earlier version decided by others differs.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct ReplayArguments {
    /// The learner.
    learner: String,
    /// The folder of the server [default: perennial-data].
    #[arg(long, env = "PERENNIAL_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// The database, `sqlite:PATH` [default: perennial.db in the data folder].
    #[arg(long, env = "PERENNIAL_DATABASE")]
    database: Option<String>,
    /// The server's configuration file, for where the database is.
    #[arg(long, env = "PERENNIAL_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Compute threads; they do not change the bits [default: one for every core].
    #[arg(long, default_value_t = 0, hide_default_value = true, value_parser = clap::value_parser!(u16).range(0..=1_024))]
    threads: u16,
    /// Where the scratch database is made; it is removed at the end [default: the system's temporary folder].
    #[arg(long, value_name = "FOLDER")]
    scratch: Option<PathBuf>,
    /// Answer in JSON.
    #[arg(long)]
    json: bool,
}

pub async fn run(arguments: ReplayArguments) -> anyhow::Result<()> {
    let name = LearnerName::parse(&arguments.learner).map_err(anyhow::Error::msg)?;
    let config = Config::load(&Overrides {
        file: arguments.config,
        data_dir: arguments.data_dir,
        database: arguments.database,
        ..Overrides::default()
    })?;
    let source: Arc<dyn Store> = match config.database()? {
        config::Database::Sqlite(path) => Arc::new(SqliteStore::open_to_read(&path).await?),
        config::Database::Postgres(url) => {
            let options = PostgresOptions::configured(&url, &config.storage).map_err(anyhow::Error::msg)?;
            let as_it_is = StoreOptions { migrate: false, ..StoreOptions::from(&config.storage) };
            Arc::new(PostgresStore::open_with(&options, &as_it_is).await?)
        }
    };
    let folder = Scratch::new(arguments.scratch.as_deref())?;
    let scratch: Arc<dyn Store> = Arc::new(SqliteStore::open(&folder.0.join("replay.db")).await?);
    let bar = progress(arguments.json);
    let again = Again {
        source: source.clone(),
        scratch: scratch.clone(),
        onlooker: &|lived: Lived| {
            bar.set_length(lived.of);
            bar.set_position(lived.inputs);
            bar.set_message(format!("example {}", lived.seq));
        },
    };
    let report = live_again(again, &name, arguments.threads.into()).await;
    bar.finish_and_clear();
    scratch.close().await;
    source.close().await;
    let report = report.with_context(|| format!("living the life of `{name}` again"))?;
    if arguments.json {
        println!("{:#}", serde_json::to_value(&report)?);
    } else {
        show(&report);
    }
    match (report.difference, report.corrected) {
        (Some(_), _) => bail!("`{name}` is not what its data and decisions make it"),
        (None, Some(seq)) => {
            bail!("only the life before example {seq} is proven: it was corrected, and its first values are gone")
        }
        (None, None) => Ok(()),
    }
}

fn show(report: &Report) {
    let lines = [
        ("examples learned", report.trained_seq.0),
        ("inputs done again", report.inputs),
        ("optimizer steps", report.steps),
        ("results that are the same", report.results),
        ("versions that are the same", report.versions),
        ("growths among them", report.growths),
    ];
    let mut rows = table(&["learner", report.learner.as_str()], &[1]);
    for (what, count) in lines {
        rows.add_row(vec![what.to_owned(), count.to_string()]);
    }
    println!("{rows}");
    match &report.difference {
        None if report.corrected.is_some() => {
            println!(
                "every result and version up to position {} of the journal is the same to the last bit",
                report.position
            );
        }
        None => println!(
            "every result and version, the weights and the optimizer's state at position {} of the journal are the same to \
             the last bit",
            report.position
        ),
        Some(difference) => show_difference(difference),
    }
}

fn show_difference(difference: &Difference) {
    let Difference { position, what, pointer, recorded, lived } = difference;
    println!("the first difference is at position {position} of the journal, in the {what} {pointer}");
    println!("  recorded: {recorded}");
    println!("  lived:    {lived}");
}

fn progress(quiet: bool) -> ProgressBar {
    if quiet {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} {eta} {msg}")
        .expect("the template is a constant without faults");
    ProgressBar::new(0).with_style(style)
}

/// A folder of its own, removed with everything in it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(within: Option<&Path>) -> anyhow::Result<Self> {
        let within = within.map_or_else(std::env::temp_dir, Path::to_owned);
        let folder = within.join(format!("perennial-replay-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("the scratch folder {} cannot be made", folder.display()))?;
        Ok(Self(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("the scratch folder {} is left behind: {error}", self.0.display());
        }
    }
}
