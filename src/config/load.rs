//! Reading the configuration: defaults, then the file, then `PERENNIAL_…`, then flags.

use std::path::PathBuf;

use super::Config;

/// What flags set; `None` leaves what file and environment say.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `--config`
    pub file: Option<PathBuf>,
    /// `--host`
    pub host: Option<String>,
    /// `--port`
    pub port: Option<u16>,
    /// `--data-dir`
    pub data_dir: Option<PathBuf>,
    /// `--database`
    pub database: Option<String>,
}

/// What is wrong with the configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file or variable cannot be read.
    #[error("configuration: {0}")]
    Unreadable(String),
    /// A value makes no sense.
    #[error("configuration: {key}: {reason}")]
    Invalid { key: &'static str, reason: String },
}

impl Config {
    /// Reads everything and checks it. Variables are `PERENNIAL_SERVER__PORT`, … (section, two underscores, key).
    pub fn load(overrides: &Overrides) -> Result<Self, ConfigError> {
        let _ = overrides;
        unimplemented!("helper H")
    }
}
