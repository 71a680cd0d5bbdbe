//! Reading the configuration: defaults, then the file, then `PERENNIAL_…`, then flags.

use std::path::PathBuf;

use super::{Config, Role};

/// More threads than this in one pool are a mistake.
const MOST_THREADS: usize = 1_024;
/// The nicest that Linux knows.
const MOST_NICE: u8 = 19;

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
    /// `--device`
    pub device: Option<String>,
    /// `--role`
    pub role: Option<Role>,
    /// `--port` of a worker
    pub worker_port: Option<u16>,
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

impl From<config::ConfigError> for ConfigError {
    fn from(error: config::ConfigError) -> Self {
        Self::Unreadable(error.to_string())
    }
}

impl Config {
    /// Reads everything and checks it. Variables are `PERENNIAL_SERVER__PORT`, … (section, two underscores, key).
    pub fn load(overrides: &Overrides) -> Result<Self, ConfigError> {
        let ours = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            let (name, value) = (name.into_string().ok()?, value.into_string().ok()?);
            (name.starts_with("PERENNIAL_") && name.contains("__")).then_some((name, value))
        };
        let mut loaded = Self::from_sources(overrides, std::env::vars_os().filter_map(ours).collect())?;
        loaded.training.cache_folder = Some(PathBuf::from(&loaded.storage.data_dir).join("cache"));
        Ok(loaded)
    }

    /// The same with the environment given.
    fn from_sources(
        overrides: &Overrides,
        variables: std::collections::HashMap<String, String>,
    ) -> Result<Self, ConfigError> {
        let mut sources = config::Config::builder();
        if let Some(file) = &overrides.file {
            sources = sources.add_source(config::File::from(file.as_path()).format(config::FileFormat::Toml));
        }
        let environment = config::Environment::with_prefix("PERENNIAL")
            .prefix_separator("_")
            .separator("__")
            .try_parsing(true)
            .source(Some(variables));
        let mut loaded: Self = sources.add_source(environment).build()?.try_deserialize()?;
        if let Some(host) = &overrides.host {
            loaded.server.host.clone_from(host);
        }
        if let Some(port) = overrides.port {
            loaded.server.port = port;
        }
        if let Some(folder) = &overrides.data_dir {
            loaded.storage.data_dir = folder.to_string_lossy().into_owned();
        }
        if let Some(database) = &overrides.database {
            loaded.storage.database.clone_from(database);
        }
        if let Some(device) = &overrides.device {
            loaded.training.device.clone_from(device);
        }
        if let Some(role) = overrides.role {
            loaded.fleet.role = role;
        }
        if let Some(port) = overrides.worker_port {
            loaded.fleet.worker_port = port;
        }
        loaded.training.retention = loaded.storage.retention();
        loaded.check()?;
        Ok(loaded)
    }

    /// The folder where examples of long bodies wait.
    pub fn spool_folder(&self) -> PathBuf {
        PathBuf::from(&self.storage.data_dir).join("spool")
    }

    fn check(&self) -> Result<(), ConfigError> {
        let positive = [
            ("limits.body_bytes", self.limits.body_bytes),
            ("limits.examples", self.limits.examples),
            ("limits.predict_rows", self.limits.predict_rows),
            ("limits.concurrency", self.limits.concurrency),
            ("limits.learners", self.limits.learners),
            ("limits.reported_faults", self.limits.reported_faults),
            ("limits.aliases", self.limits.aliases),
            ("ingest.queue", self.ingest.queue),
            ("ingest.queue_bytes", self.ingest.queue_bytes),
            ("ingest.commit_bytes", self.ingest.commit_bytes),
            ("ingest.spool_bytes", self.ingest.spool_bytes),
            ("ingest.commit_examples", self.ingest.commit_examples),
            ("serving.queue_rows", self.serving.queue_rows),
            ("serving.batch_rows", self.serving.batch_rows),
            ("serving.threads", self.serving.threads),
            ("training.trainers", self.training.trainers),
            ("storage.keep_versions", self.storage.keep_versions),
            ("storage.connections", self.storage.connections as usize),
        ];
        if let Some((key, _)) = positive.into_iter().find(|(_, value)| *value == 0) {
            return Err(ConfigError::Invalid { key, reason: "must be at least 1".into() });
        }
        if self.limits.stream_bytes < self.limits.body_bytes as u64 {
            return Err(ConfigError::Invalid {
                key: "limits.stream_bytes",
                reason: "must hold the largest body, `limits.body_bytes`".into(),
            });
        }
        let durations = [
            ("limits.request_seconds", self.limits.request_seconds),
            ("serving.deadline_ms", self.serving.deadline_ms),
            ("training.turn_ms", self.training.turn_ms),
            ("training.checkpoint_ms", self.training.checkpoint_ms),
            ("training.lease_seconds", self.training.lease_seconds),
            ("fleet.poll_ms", self.fleet.poll_ms),
            ("fleet.idle_seconds", self.fleet.idle_seconds),
            ("fleet.share_seconds", self.fleet.share_seconds),
            ("storage.connection_wait_ms", self.storage.connection_wait_ms),
            ("storage.start_wait_seconds", self.storage.start_wait_seconds),
        ];
        if let Some((key, _)) = durations.into_iter().find(|(_, value)| !(1..=86_400_000).contains(value)) {
            return Err(ConfigError::Invalid { key, reason: "must be from 1 to 86400000".into() });
        }
        let threads = [("serving.threads", self.serving.threads), ("training.threads", self.training.threads)];
        if let Some((key, _)) = threads.into_iter().find(|(_, value)| *value > MOST_THREADS) {
            return Err(ConfigError::Invalid { key, reason: format!("must be at most {MOST_THREADS}") });
        }
        let niceness = [("serving.nice", self.serving.nice), ("training.nice", self.training.nice)];
        if let Some((key, _)) = niceness.into_iter().find(|(_, value)| *value > MOST_NICE) {
            return Err(ConfigError::Invalid { key, reason: format!("must be from 0 to {MOST_NICE}") });
        }
        if self.serving.queue_rows < self.limits.predict_rows {
            return Err(ConfigError::Invalid {
                key: "serving.queue_rows",
                reason: "must hold the largest prediction, `limits.predict_rows`".into(),
            });
        }
        self.database().map(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn load(text: &str, variables: &[(&str, &str)], overrides: Overrides) -> Result<Config, ConfigError> {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("perennial.toml");
        std::fs::write(&file, text).expect("written");
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Config::from_sources(&Overrides { file: Some(file), ..overrides }, variables.collect())
    }

    #[test]
    fn the_reference_file_says_what_the_defaults_are() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/config/default.toml");
        let read = Config::from_sources(&Overrides { file: Some(file.into()), ..Overrides::default() }, HashMap::new());
        assert_eq!(read.expect("readable"), Config::default());
    }

    #[test]
    fn flags_win_over_variables_and_variables_over_the_file() {
        let text = "[server]\nhost = \"0.0.0.0\"\nport = 1\nstop_seconds = 3\n";
        let variables = [("PERENNIAL_SERVER__PORT", "2"), ("PERENNIAL_LIMITS__EXAMPLES", "9")];
        let overrides = Overrides { host: Some("::1".into()), device: Some("auto".into()), ..Overrides::default() };
        let config = load(text, &variables, overrides).expect("valid");
        assert_eq!(config.training.device, "auto");
        assert_eq!((config.server.host.as_str(), config.server.port, config.server.stop_seconds), ("::1", 2, 3));
        assert_eq!(config.limits.examples, 9);
    }

    #[test]
    fn unknown_keys_and_senseless_values_are_named() {
        let unknown = load("[server]\nprot = 1\n", &[], Overrides::default()).expect_err("refused").to_string();
        assert!(unknown.contains("prot"), "{unknown}");
        let zero = load("[ingest]\nqueue = 0\n", &[], Overrides::default()).expect_err("refused").to_string();
        assert!(zero.contains("ingest.queue"), "{zero}");
        for (text, key) in [
            ("[training]\nnice = 20\n", "training.nice"),
            ("[serving]\nnice = 99\n", "serving.nice"),
            ("[training]\nthreads = 5000\n", "training.threads"),
            ("[serving]\nthreads = 0\n", "serving.threads"),
        ] {
            let refused = load(text, &[], Overrides::default()).expect_err("refused").to_string();
            assert!(refused.contains(key), "{refused}");
        }
    }

    #[test]
    fn a_missing_file_is_an_error() {
        let overrides = Overrides { file: Some("no-such-file.toml".into()), ..Overrides::default() };
        assert!(Config::from_sources(&overrides, HashMap::new()).is_err());
    }
}
