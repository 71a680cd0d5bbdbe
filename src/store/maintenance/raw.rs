//! A connection to either database for statements that are written once: SQL that both understand, values as they stand in
//! columns.
//!
//! Arguments are `$1`, `$2`, …; names are quoted by [`quoted`]. Nothing here writes unless it is told to. For
//! `store::maintenance` alone: stores have statements of their own.

use futures_util::stream::{BoxStream, StreamExt as _};
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{
    AssertSqlSafe, Column as _, PgConnection, Postgres, Row as _, Sqlite, SqliteConnection, TypeInfo as _,
    ValueRef as _,
};

use crate::store::failure::damaged;
use crate::stream::StoreError;

/// A value of a column.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell {
    Null,
    Integer(i64),
    Real(f64),
    Text(String),
    Bytes(Vec<u8>),
}

impl Cell {
    /// The whole number that it is; 0 for nothing, as sums and largest values of no rows are.
    pub(super) fn integer(&self) -> i64 {
        if let Self::Integer(number) = self { *number } else { 0 }
    }

    /// The whole number that it is, if it is one.
    pub(super) fn number(&self) -> Option<i64> {
        if let Self::Integer(number) = self { Some(*number) } else { None }
    }

    /// The text that it is; empty for everything else.
    pub(super) fn text(&self) -> &str {
        if let Self::Text(text) = self { text } else { "" }
    }

    /// The bytes that it is; empty for everything else.
    pub(super) fn bytes(&self) -> &[u8] {
        if let Self::Bytes(bytes) = self { bytes } else { &[] }
    }

    /// About how much memory it takes.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Text(text) => 16 + text.len(),
            Self::Bytes(bytes) => 16 + bytes.len(),
            _ => 16,
        }
    }
}

/// A row.
pub(super) type Cells = Vec<Cell>;

/// One connection.
#[derive(Debug)]
pub(super) enum Raw {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Raw {
    /// The rows of a query.
    pub(super) async fn rows(&mut self, sql: &str, arguments: &[Cell]) -> Result<Vec<Cells>, StoreError> {
        let sql = AssertSqlSafe(sql.to_owned());
        match self {
            Self::Sqlite(connection) => {
                let rows = arguments.iter().fold(sqlx::query(sql), bind_sqlite).fetch_all(connection).await?;
                rows.iter().map(sqlite_cells).collect()
            }
            Self::Postgres(connection) => {
                let rows = arguments.iter().fold(sqlx::query(sql), bind_postgres).fetch_all(connection).await?;
                rows.iter().map(postgres_cells).collect()
            }
        }
    }

    /// The one row of a query that has one.
    pub(super) async fn row(&mut self, sql: &str, arguments: &[Cell]) -> Result<Cells, StoreError> {
        let mut rows = self.rows(sql, arguments).await?;
        rows.pop().ok_or_else(|| damaged("a row that must be there", "is not there"))
    }

    /// A whole number; 0 if there is no row.
    pub(super) async fn integer(&mut self, sql: &str, arguments: &[Cell]) -> Result<i64, StoreError> {
        let rows = self.rows(sql, arguments).await?;
        Ok(rows.first().and_then(|row| row.first()).map_or(0, Cell::integer))
    }

    /// The rows of a query one by one, a few in memory at a time.
    pub(super) fn stream(&mut self, sql: String) -> BoxStream<'_, Result<Cells, StoreError>> {
        let sql = AssertSqlSafe(sql);
        match self {
            Self::Sqlite(connection) => sqlx::query(sql).fetch(connection).map(|row| sqlite_cells(&row?)).boxed(),
            Self::Postgres(connection) => sqlx::query(sql).fetch(connection).map(|row| postgres_cells(&row?)).boxed(),
        }
    }

    /// Runs a statement that writes; the number of rows.
    pub(super) async fn execute(&mut self, sql: &str, arguments: &[Cell]) -> Result<u64, StoreError> {
        let sql = AssertSqlSafe(sql.to_owned());
        Ok(match self {
            Self::Sqlite(connection) => {
                let query = arguments.iter().fold(sqlx::query(sql), bind_sqlite);
                query.execute(connection).await?.rows_affected()
            }
            Self::Postgres(connection) => {
                let query = arguments.iter().fold(sqlx::query(sql), bind_postgres);
                query.execute(connection).await?.rows_affected()
            }
        })
    }
}

/// A name in a statement.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Binds a value to the next argument of a statement for SQLite.
pub(super) fn bind_sqlite<'q>(
    query: Query<'q, Sqlite, SqliteArguments>,
    cell: &Cell,
) -> Query<'q, Sqlite, SqliteArguments> {
    match cell.clone() {
        Cell::Null => query.bind(None::<i64>),
        Cell::Integer(number) => query.bind(number),
        Cell::Real(number) => query.bind(number),
        Cell::Text(text) => query.bind(text),
        Cell::Bytes(bytes) => query.bind(bytes),
    }
}

fn bind_postgres<'q>(query: Query<'q, Postgres, PgArguments>, cell: &Cell) -> Query<'q, Postgres, PgArguments> {
    match cell.clone() {
        Cell::Null => query.bind(None::<i64>),
        Cell::Integer(number) => query.bind(number),
        Cell::Real(number) => query.bind(number),
        Cell::Text(text) => query.bind(text),
        Cell::Bytes(bytes) => query.bind(bytes),
    }
}

fn sqlite_cells(row: &SqliteRow) -> Result<Cells, StoreError> {
    let cell = |column: usize| {
        let raw = row.try_get_raw(column)?;
        let kind = raw.type_info().name().to_owned();
        Ok(match (raw.is_null(), kind.as_str()) {
            (true, _) => Cell::Null,
            (_, "REAL") => Cell::Real(row.try_get_unchecked(column)?),
            (_, "TEXT") => Cell::Text(row.try_get_unchecked(column)?),
            (_, "BLOB") => Cell::Bytes(row.try_get_unchecked(column)?),
            _ => Cell::Integer(row.try_get_unchecked(column)?),
        })
    };
    (0..row.len()).map(cell).collect()
}

fn postgres_cells(row: &PgRow) -> Result<Cells, StoreError> {
    let cell = |column: usize| {
        let raw = row.try_get_raw(column)?;
        let kind = raw.type_info().name().to_owned();
        Ok(match (raw.is_null(), kind.as_str()) {
            (true, _) => Cell::Null,
            (_, "INT8") => Cell::Integer(row.try_get(column)?),
            (_, "INT4") => Cell::Integer(row.try_get::<i32, _>(column)?.into()),
            (_, "BOOL") => Cell::Integer(row.try_get::<bool, _>(column)?.into()),
            (_, "FLOAT8") => Cell::Real(row.try_get(column)?),
            (_, "TEXT" | "VARCHAR" | "NAME") => Cell::Text(row.try_get(column)?),
            (_, "BYTEA") => Cell::Bytes(row.try_get(column)?),
            (_, other) => {
                let name = row.columns()[column].name();
                return Err(damaged(format_args!("column {name}"), format_args!("it has the type {other}")));
            }
        })
    };
    (0..row.len()).map(cell).collect()
}
