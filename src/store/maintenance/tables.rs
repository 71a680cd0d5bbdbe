//! The tables that hold what is kept, as the migrations of SQLite made them. Both databases have the same names and columns,
//! so a table that a migration adds is copied, counted and restored without a word here.

use sqlx::sqlite::SqliteConnectOptions;

use super::MaintenanceError;
use super::database::{close, connect_sqlite};
use super::raw::{Cell, Raw, quoted};
use crate::store::sqlite::migrate;
use crate::stream::StoreError;

/// What belongs to one database and is not carried to another: the books of its migrations and of its objects.
const OWN: [&str; 3] = ["_sqlx_migrations", "object_space", "blob_places"];

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Integer,
    Real,
    Text,
    Bytes,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: Kind,
}

/// A table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) columns: Vec<Column>,
    /// The columns that tell its rows apart, in the order in which rows are best read.
    pub(super) key: Vec<String>,
    /// The tables that its rows refer to.
    parents: Vec<String>,
}

impl Table {
    /// Its columns for a statement.
    pub(super) fn column_list(&self) -> String {
        self.columns.iter().map(|column| quoted(&column.name)).collect::<Vec<_>>().join(", ")
    }

    /// A query for all its rows in order of their key.
    pub(super) fn select(&self) -> String {
        let key: Vec<String> = self.key.iter().map(|column| quoted(column)).collect();
        let order = if key.is_empty() { String::new() } else { format!(" ORDER BY {}", key.join(", ")) };
        format!("SELECT {} FROM {}{order}", self.column_list(), quoted(&self.name))
    }

    /// Whether its rows belong to learners.
    pub(super) fn is_of_learners(&self) -> bool {
        self.columns.iter().any(|column| column.name == "learner_id")
    }
}

/// The tables of this build, parents before those that refer to them.
pub(super) async fn known() -> Result<Vec<Table>, MaintenanceError> {
    let options = SqliteConnectOptions::new().in_memory(true);
    let mut memory = connect_sqlite(options).await.map_err(MaintenanceError::Refused)?;
    if let Raw::Sqlite(connection) = &mut memory {
        migrate::apply(connection, &migrate::MIGRATIONS).await.map_err(MaintenanceError::Refused)?;
    }
    let tables = of_file(&mut memory).await;
    close(memory).await;
    Ok(tables?)
}

/// The tables of a SQLite file, parents before those that refer to them.
pub(super) async fn of_file(file: &mut Raw) -> Result<Vec<Table>, StoreError> {
    let names = file
        .rows(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY rowid",
            &[],
        )
        .await?;
    let mut tables = Vec::new();
    for name in names.iter().map(|row| row[0].text()).filter(|name| !OWN.contains(name)) {
        tables.push(describe(file, name).await?);
    }
    Ok(parents_first(tables))
}

async fn describe(file: &mut Raw, name: &str) -> Result<Table, StoreError> {
    let argument = [Cell::Text(name.to_owned())];
    let columns = file.rows("SELECT name, type FROM pragma_table_info($1) ORDER BY cid", &argument).await?;
    let columns = columns
        .iter()
        .map(|row| Column {
            name: row[0].text().to_owned(),
            kind: match row[1].text() {
                "REAL" => Kind::Real,
                "TEXT" => Kind::Text,
                "BLOB" => Kind::Bytes,
                _ => Kind::Integer,
            },
        })
        .collect();
    let mut key = file.rows("SELECT name FROM pragma_table_info($1) WHERE pk > 0 ORDER BY pk", &argument).await?;
    if key.is_empty() {
        key = file
            .rows(
                "SELECT name FROM pragma_index_info((SELECT name FROM pragma_index_list($1)
                 WHERE \"unique\" = 1 AND partial = 0 ORDER BY seq DESC LIMIT 1)) ORDER BY seqno",
                &argument,
            )
            .await?;
    }
    let parents = file.rows("SELECT DISTINCT \"table\" FROM pragma_foreign_key_list($1)", &argument).await?;
    let first = |rows: Vec<Vec<Cell>>| rows.iter().map(|row| row[0].text().to_owned()).collect();
    Ok(Table { name: name.to_owned(), columns, key: first(key), parents: first(parents) })
}

fn parents_first(mut tables: Vec<Table>) -> Vec<Table> {
    let mut sorted: Vec<Table> = Vec::with_capacity(tables.len());
    while !tables.is_empty() {
        let waits = |table: &Table| {
            table.parents.iter().any(|parent| *parent != table.name && tables.iter().any(|other| other.name == *parent))
        };
        // Tables that wait for each other could not be filled in any order; they come as they stand.
        let next = tables.iter().position(|table| !waits(table)).unwrap_or(0);
        sorted.push(tables.remove(next));
    }
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_table_has_a_key_and_comes_after_those_it_refers_to() {
        let tables = known().await.unwrap();
        let place = |name: &str| tables.iter().position(|table| table.name == name).unwrap();
        assert!(place("versions") < place("aliases"));
        assert!(tables.iter().all(|table| !table.key.is_empty()), "{tables:?}");
        let examples = &tables[place("examples")];
        assert_eq!(examples.key, ["learner_id", "seq"]);
        let kind = |name: &str| examples.columns.iter().find(|column| column.name == name).unwrap().kind;
        assert_eq!(
            ["seq", "example_id", "label_number", "row"].map(kind),
            [Kind::Integer, Kind::Text, Kind::Real, Kind::Bytes]
        );
        for own in OWN {
            assert!(tables.iter().all(|table| table.name != own));
        }
    }
}
