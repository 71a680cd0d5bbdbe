//! The schema of a database: which migrations this build knows, why each is there, and which a database still lacks.
//!
//! A migration is applied whole or not at all, and once; a database that has one that this build does not know is refused
//! before anything is written. The files are in `migrations/`; each begins with a comment whose first sentence is the reason.
//! For the stores and the commands that look after databases.

use serde::Serialize;
use sqlx::migrate::{AppliedMigration, Migrator};

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

    #[test]
    fn every_migration_begins_with_its_reason_and_both_stores_count_alike() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
        let mut numbers = Vec::new();
        for store in ["sqlite", "postgres"] {
            let Ok(files) = std::fs::read_dir(root.join(store)) else { continue };
            for file in files {
                let path = file.unwrap().path();
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                let text = std::fs::read_to_string(&path).unwrap();
                let reason = reason(&text);
                assert!(reason.len() > 10 && reason.ends_with('.'), "{store}/{name}: {reason:?}");
                assert!(!text.contains("no-transaction"), "{store}/{name} would not be applied whole");
                numbers.push((store, name[..4].parse::<i64>().unwrap()));
            }
        }
        let of = |store: &str| {
            let mut found: Vec<i64> = numbers.iter().filter(|(whose, _)| *whose == store).map(|(_, n)| *n).collect();
            found.sort_unstable();
            found
        };
        assert!(!of("sqlite").is_empty());
        if !of("postgres").is_empty() {
            assert_eq!(of("sqlite"), of("postgres"));
        }
    }

    #[test]
    fn a_newer_database_is_named_by_both_numbers() {
        let known = Migrator::with_migrations(vec![]);
        let found = [AppliedMigration { version: 9, checksum: vec![].into() }];
        let text = compare(&known, &found).unwrap_err();
        assert!(text.contains("newer version") && text.contains("migration 9") && text.contains("up to 0"), "{text}");
    }
}
