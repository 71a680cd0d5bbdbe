//! Which database: a file of SQLite's, or one of Postgres'.

use std::path::PathBuf;

use super::{Config, ConfigError};

/// Where everything is kept.
#[derive(Clone, PartialEq, Eq)]
pub enum Database {
    /// The file of an SQLite database.
    Sqlite(PathBuf),
    /// The URL of a Postgres database. It may have a password: it is never shown.
    Postgres(String),
}

impl Config {
    /// The database.
    ///
    /// # Errors
    /// One of another kind.
    pub fn database(&self) -> Result<Database, ConfigError> {
        let database = self.storage.database.as_str();
        if database.is_empty() {
            return Ok(Database::Sqlite(PathBuf::from(&self.storage.data_dir).join("perennial.db")));
        }
        if ["postgres://", "postgresql://"].into_iter().any(|scheme| database.starts_with(scheme)) {
            return Ok(Database::Postgres(database.to_owned()));
        }
        let path = database.strip_prefix("sqlite:").map(|path| path.strip_prefix("//").unwrap_or(path));
        path.filter(|path| !path.is_empty()).map(|path| Database::Sqlite(path.into())).ok_or_else(|| {
            ConfigError::Invalid {
                key: "storage.database",
                reason: "a database is `sqlite:PATH` or `postgres://user:password@host:port/database`".into(),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database(text: &str) -> Result<Database, ConfigError> {
        let mut config = Config::default();
        config.storage.database = text.into();
        config.database()
    }

    #[test]
    fn a_database_is_told_by_its_scheme() {
        let file = |path: &str| Database::Sqlite(path.into());
        for (text, expected) in [
            ("", file("perennial-data/perennial.db")),
            ("sqlite:a.db", file("a.db")),
            ("sqlite:///var/a.db", file("/var/a.db")),
            ("postgres://db/stream", Database::Postgres("postgres://db/stream".into())),
            ("postgresql://db/stream", Database::Postgres("postgresql://db/stream".into())),
        ] {
            assert!(database(text).is_ok_and(|database| database == expected), "{text}");
        }
    }

    #[test]
    fn another_database_is_refused_and_not_quoted() {
        for text in ["mysql://ann:s3cret@db/x", "sqlite:", "a.db", "postgres:s3cret"] {
            let reason = database(text).err().expect("refused").to_string();
            assert!(reason.contains("storage.database") && !reason.contains("s3cret"), "{reason}");
        }
    }
}
