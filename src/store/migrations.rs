//! The schema of a database: which migrations this build knows, why each is there, and which a database still lacks.
//!
//! A migration is applied whole or not at all, and once; a database that has one that this build does not know is refused
//! before anything is written. The files are in `migrations/`; each begins with a comment whose first sentence is the reason.
//! For the stores and the commands that look after databases.

use serde::Serialize;
use sqlx::SqlSafeStr as _;
use sqlx::migrate::{AppliedMigration, MigrationType, Migrator};

/// What a person does about a database that is behind.
pub const REMEDY: &str = "run `perennial migrate`";

/// One migration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Migration {
    /// Its number; they are applied in order.
    pub number: i64,
    /// Why the tables had to change.
    pub reason: String,
}

/// Where a database stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Migrations {
    /// What has been applied, in order.
    pub applied: Vec<Migration>,
    /// What this build needs and the database lacks, in order.
    pub pending: Vec<Migration>,
}

/// The files of a folder of `migrations/`, in the program. A static of its own for each store.
///
/// sqlx's macro would find them by itself, but it brings both databases' drivers, SQLite's C and all, a second time for the
/// compiler's own use. A file that is not named here fails a test.
macro_rules! embedded {
    ($folder:literal: $($file:literal),+ $(,)?) => {
        std::sync::LazyLock::new(|| {
            crate::store::migrations::migrator(&[$((
                $file,
                include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/", $folder, "/", $file, ".sql")),
            )),+])
        })
    };
}

pub(super) use embedded;

/// From names without their endings, and texts: a name is a number of four digits, `_`, and what it does.
pub(super) fn migrator(files: &[(&'static str, &'static str)]) -> Migrator {
    let migration = |&(name, sql): &(&'static str, &'static str)| {
        let (number, description) = name.split_once('_').expect("a number and what it does");
        let number = number.parse().expect("a number");
        let description = description.replace('_', " ").into();
        sqlx::migrate::Migration::new(number, description, MigrationType::Simple, sql.into_sql_str(), false)
    };
    Migrator::with_migrations(files.iter().map(migration).collect())
}

/// Holds what a database has against what this build knows.
///
/// # Errors
/// The database was written by a newer or another build; the text says which migrations tell.
pub(super) fn compare(known: &Migrator, found: &[AppliedMigration]) -> Result<Migrations, String> {
    let newest_known = known.iter().map(|migration| migration.version).max().unwrap_or(0);
    let newest_found = found.iter().map(|migration| migration.version).max().unwrap_or(0);
    if newest_found > newest_known {
        return Err(format!(
            "it was written by a newer version of perennial: it has migration {newest_found}, this build knows those up to \
             {newest_known}"
        ));
    }
    let mut migrations = Migrations { applied: Vec::new(), pending: Vec::new() };
    for migration in known.iter() {
        let state = match found.iter().find(|applied| applied.version == migration.version) {
            Some(applied) if applied.checksum != migration.checksum => {
                let number = migration.version;
                return Err(format!("its tables were made by another build of perennial: migration {number} differs"));
            }
            Some(_) => &mut migrations.applied,
            None => &mut migrations.pending,
        };
        state.push(Migration { number: migration.version, reason: reason(migration.sql.as_str()) });
    }
    match found.iter().find(|applied| !known.version_exists(applied.version)) {
        Some(foreign) => Err(format!(
            "its tables were made by another build of perennial: this one has no migration {}",
            foreign.version
        )),
        None => Ok(migrations),
    }
}

/// What a start-up says of a database that it was told not to migrate.
pub(super) fn behind(pending: &[Migration]) -> String {
    let numbers: Vec<String> = pending.iter().map(|migration| migration.number.to_string()).collect();
    format!("its tables are older than this build (pending: {}); {REMEDY}", numbers.join(", "))
}

/// The first sentence of the comment that a migration begins with.
fn reason(sql: &str) -> String {
    let comment: Vec<&str> = sql.lines().map_while(|line| line.strip_prefix("-- ")).collect();
    let comment = comment.join(" ");
    match comment.find(". ") {
        Some(end) => comment[..=end].to_owned(),
        None => comment,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{postgres, sqlite};

    #[tokio::test]
    async fn every_migration_is_in_the_program_and_begins_with_its_reason_and_both_stores_count_alike() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
        let mut numbers = Vec::new();
        let stores = [("sqlite", &sqlite::migrate::MIGRATIONS), ("postgres", &postgres::migrate::MIGRATIONS)];
        for (store, embedded) in stores {
            let folder = root.join(store);
            // What sqlx itself finds: it passes over a file whose name it cannot read.
            let found = Migrator::new(&*folder).await.unwrap();
            assert_eq!(std::fs::read_dir(&folder).unwrap().count(), found.iter().count(), "{store}");
            assert_eq!(embedded.iter().count(), found.iter().count(), "{store}");
            for (ours, file) in embedded.iter().zip(found.iter()) {
                let named = (ours.version, &ours.description, &ours.checksum);
                assert_eq!(named, (file.version, &file.description, &file.checksum), "{store}");
                let name = format!("{:04}_{}.sql", file.version, file.description.replace(' ', "_"));
                assert!(folder.join(&name).is_file(), "{store}/{name}");
                let text = file.sql.as_str();
                let reason = reason(text);
                assert!(reason.len() > 10 && reason.ends_with('.'), "{store}/{name}: {reason:?}");
                assert!(!text.contains("no-transaction"), "{store}/{name} would not be applied whole");
                assert_eq!(file.migration_type, MigrationType::Simple, "{store}/{name}");
            }
            numbers.push(found.iter().map(|migration| migration.version).collect::<Vec<_>>());
        }
        assert_eq!(numbers[0], numbers[1]);
    }

    #[test]
    fn a_newer_database_is_named_by_both_numbers() {
        let known = Migrator::with_migrations(vec![]);
        let found = [AppliedMigration { version: 9, checksum: vec![].into() }];
        let text = compare(&known, &found).unwrap_err();
        assert!(text.contains("newer version") && text.contains("migration 9") && text.contains("up to 0"), "{text}");
    }
}
