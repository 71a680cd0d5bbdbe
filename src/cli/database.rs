//! What the commands that look after a database share: which one, how far they are, and what makes a model of what is live.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::table::{table, whole};
use crate::config::{self, Config, Overrides};
use crate::registry::Version;
use crate::serving::loader;
use crate::store::PostgresOptions;
use crate::store::maintenance::{Database, Report};

/// Which database; the same flags, variables and file as those of `serve`.
#[derive(Debug, Args)]
pub struct DatabaseArguments {
    /// The database, `sqlite:PATH` or `postgres://…` [default: perennial.db in the data folder].
    #[arg(long, env = "PERENNIAL_DATABASE", hide_env_values = true)]
    database: Option<String>,
    /// The folder for everything that is kept [default: perennial-data].
    #[arg(long, env = "PERENNIAL_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// A configuration file; `config/default.toml` shows every key.
    #[arg(long, env = "PERENNIAL_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

impl DatabaseArguments {
    /// The database that a server with the same arguments would serve.
    pub fn database(self) -> anyhow::Result<Database> {
        let Self { database, data_dir, config: file } = self;
        let config = Config::load(&Overrides { file, data_dir, database, ..Overrides::default() })?;
        Ok(match config.database()? {
            config::Database::Sqlite(path) => Database::Sqlite(path),
            config::Database::Postgres(url) => {
                let options = PostgresOptions::configured(&url, &config.storage).map_err(anyhow::Error::msg)?;
                Database::Postgres(Box::new(options))
            }
        })
    }
}

/// How far a command is, on standard error; silent where nobody looks.
pub struct Steps(ProgressBar);

impl Steps {
    /// Begins to tell.
    pub fn start() -> Self {
        if !std::io::stderr().is_terminal() {
            return Self(ProgressBar::hidden());
        }
        let style = ProgressStyle::with_template("{spinner} {elapsed} {msg}")
            .unwrap_or_else(|_| ProgressStyle::default_spinner());
        let bar = ProgressBar::new_spinner().with_style(style);
        bar.enable_steady_tick(Duration::from_millis(100));
        Self(bar)
    }

    /// Tells what is being done.
    pub fn tell(&self, what: &str, count: u64) {
        let count = if count == 0 { String::new() } else { format!(" {}", whole(count)) };
        self.0.set_message(format!("{what}{count}"));
    }

    /// Clears the line.
    pub fn end(self) {
        self.0.finish_and_clear();
    }
}

/// Makes a model of a version as the server does when it serves it.
pub fn loads(version: Version, weights: &[u8]) -> Result<(), String> {
    loader::build(version, weights).map(drop).map_err(|error| error.to_string())
}

/// The learners and the rows that a verification found.
pub fn print_report(report: &Report) {
    let columns = ["id", "learner", "head seq", "trained seq", "events", "versions", "with weights", "live"];
    let mut learners = table(&columns, &[0, 2, 3, 4, 5, 6, 7]);
    let number = |number: i64| whole(number.unsigned_abs());
    for learner in &report.learners {
        learners.add_row(vec![
            number(learner.id),
            learner.name.clone(),
            number(learner.head_seq),
            number(learner.trained_seq),
            number(learner.events),
            number(learner.versions),
            number(learner.weights),
            learner.live.map_or_else(|| "–".into(), number),
        ]);
    }
    println!("{learners}");
    let mut tables = table(&["table", "rows"], &[1]);
    for found in &report.tables {
        tables.add_row(vec![found.table.clone(), number(found.rows)]);
    }
    println!("{tables}");
    println!(
        "migration {}; the digests of {} blobs of {} bytes are right",
        report.migration,
        number(report.blobs),
        number(report.blob_bytes)
    );
}
