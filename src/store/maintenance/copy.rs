//! Copying tables row by row between the two kinds of database, a few rows in memory at a time.
//!
//! Both have the same tables and columns. They differ in two ways: Postgres has truth values where SQLite has 0 and 1, and
//! bytes where SQLite has texts that may hold NUL. A value is told by the type of the column that takes it.

use futures_util::StreamExt as _;
use sqlx::AssertSqlSafe;

use super::raw::{Cell, Cells, Raw, bind_sqlite, quoted};
use super::tables::{Column, Kind, Table};
use super::{MaintenanceError, Progress};
use crate::store::failure::damaged;
use crate::stream::StoreError;

/// Rows, and about how many bytes of them, that one statement inserts into Postgres.
const ROWS_AT_ONCE: usize = 1_000;
const BYTES_AT_ONCE: usize = 8 << 20;

/// After how many rows the progress is told.
const TELL_EVERY: u64 = 1_000;

/// Copies a table into a SQLite file; how many rows it has.
pub(super) async fn into_sqlite(
    source: &mut Raw,
    target: &mut sqlx::SqliteConnection,
    table: &Table,
    progress: Progress<'_>,
) -> Result<u64, MaintenanceError> {
    let places: Vec<String> = (1..=table.columns.len()).map(|place| format!("?{place}")).collect();
    let insert =
        format!("INSERT INTO {} ({}) VALUES ({})", quoted(&table.name), table.column_list(), places.join(", "));
    let mut rows = source.stream(table.select());
    let mut copied = 0;
    while let Some(row) = rows.next().await {
        let query = sqlx::query(AssertSqlSafe(insert.clone()));
        let query = row?
            .into_iter()
            .zip(&table.columns)
            .map(|(cell, column)| for_sqlite(cell, column))
            .collect::<Result<Cells, _>>()?
            .iter()
            .fold(query, bind_sqlite);
        query.execute(&mut *target).await?;
        copied += 1;
        if copied % TELL_EVERY == 0 {
            progress(&table.name, copied);
        }
    }
    progress(&table.name, copied);
    Ok(copied)
}

/// Copies a table into Postgres, within the transaction of the connection; how many rows it has.
pub(super) async fn into_postgres(
    source: &mut Raw,
    target: &mut sqlx::PgConnection,
    table: &Table,
    progress: Progress<'_>,
) -> Result<u64, MaintenanceError> {
    let types = column_types(target, table).await?;
    let arrays: Vec<String> =
        types.iter().enumerate().map(|(place, kind)| format!("${}::{}[]", place + 1, kind.array())).collect();
    let insert = format!(
        "INSERT INTO {} ({}) SELECT * FROM UNNEST({})",
        quoted(&table.name),
        table.column_list(),
        arrays.join(", ")
    );
    let mut rows = source.stream(table.select());
    let mut copied = 0;
    loop {
        let mut batch: Vec<Cells> = Vec::new();
        let mut bytes = 0;
        while batch.len() < ROWS_AT_ONCE && bytes < BYTES_AT_ONCE {
            let Some(row) = rows.next().await else { break };
            let row = row?;
            bytes += row.iter().map(Cell::size).sum::<usize>();
            batch.push(row);
        }
        if batch.is_empty() {
            return Ok(copied);
        }
        copied += batch.len() as u64;
        let mut query = sqlx::query(AssertSqlSafe(insert.clone()));
        for (place, kind) in types.iter().enumerate() {
            let cells = batch.iter_mut().map(|row| std::mem::replace(&mut row[place], Cell::Null));
            query = match kind {
                Type::Integer => query.bind(cells.map(|cell| cell.number()).collect::<Vec<_>>()),
                Type::Boolean => query.bind(cells.map(|cell| cell.number().map(|n| n != 0)).collect::<Vec<_>>()),
                Type::Real => query.bind(cells.map(real).collect::<Vec<_>>()),
                Type::Text => query.bind(cells.map(text).collect::<Result<Vec<_>, _>>()?),
                Type::Bytes => query.bind(cells.map(bytes_of).collect::<Vec<_>>()),
            };
        }
        query.execute(&mut *target).await?;
        progress(&table.name, copied);
    }
}

/// What a column of Postgres takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Integer,
    Boolean,
    Real,
    Text,
    Bytes,
}

impl Type {
    fn array(self) -> &'static str {
        match self {
            Self::Integer => "bigint",
            Self::Boolean => "boolean",
            Self::Real => "double precision",
            Self::Text => "text",
            Self::Bytes => "bytea",
        }
    }
}

/// The types of a table's columns in Postgres.
async fn column_types(target: &mut sqlx::PgConnection, table: &Table) -> Result<Vec<Type>, MaintenanceError> {
    let mut types = Vec::with_capacity(table.columns.len());
    for column in &table.columns {
        let found: Option<String> = sqlx::query_scalar(
            "SELECT data_type::text FROM information_schema.columns
             WHERE table_schema = current_schema() AND table_name = $1 AND column_name = $2",
        )
        .bind(table.name.clone())
        .bind(column.name.clone())
        .fetch_optional(&mut *target)
        .await?;
        types.push(match found.as_deref() {
            Some("bigint" | "integer" | "smallint") => Type::Integer,
            Some("boolean") => Type::Boolean,
            Some("double precision") => Type::Real,
            Some("text" | "character varying") => Type::Text,
            Some("bytea") => Type::Bytes,
            _ => {
                let what = format!("table {}: column {} cannot be copied", table.name, column.name);
                return Err(MaintenanceError::Refused(what));
            }
        });
    }
    Ok(types)
}

/// A value as SQLite's column takes it.
fn for_sqlite(cell: Cell, column: &Column) -> Result<Cell, StoreError> {
    match (cell, column.kind) {
        (Cell::Bytes(bytes), Kind::Text) => {
            let text = String::from_utf8(bytes);
            text.map(Cell::Text).map_err(|_| damaged(format_args!("column {}", column.name), "a text is not UTF-8"))
        }
        (cell, _) => Ok(cell),
    }
}

fn real(cell: Cell) -> Option<f64> {
    match cell {
        Cell::Real(number) => Some(number),
        _ => None,
    }
}

fn text(cell: Cell) -> Result<Option<String>, MaintenanceError> {
    match cell {
        Cell::Text(text) if text.contains('\0') => {
            Err(MaintenanceError::Refused("a text holds NUL, which Postgres cannot keep there".into()))
        }
        Cell::Text(text) => Ok(Some(text)),
        _ => Ok(None),
    }
}

fn bytes_of(cell: Cell) -> Option<Vec<u8>> {
    match cell {
        Cell::Bytes(bytes) => Some(bytes),
        Cell::Text(text) => Some(text.into_bytes()),
        _ => None,
    }
}
