//! A row of any database, read by the names of its columns.
//!
//! The two databases spell some columns differently (a text that may hold any character is TEXT in SQLite and BYTEA in
//! Postgres, whose TEXT holds no NUL); whoever reads a row need not know. For the stores alone.

use sqlx::Row as _;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;

use crate::stream::StoreError;

/// What the stores read from a row.
pub(super) trait Columns {
    /// A number that is always there.
    fn integer(&self, column: &str) -> Result<i64, StoreError>;

    /// A number that may be missing.
    fn optional_integer(&self, column: &str) -> Result<Option<i64>, StoreError>;

    /// A real number that may be missing.
    fn optional_real(&self, column: &str) -> Result<Option<f64>, StoreError>;

    /// Yes or no.
    fn flag(&self, column: &str) -> Result<bool, StoreError>;

    /// A text without NUL, such as a document.
    fn text(&self, column: &str) -> Result<&str, StoreError>;

    /// A text without NUL that may be missing.
    fn optional_text(&self, column: &str) -> Result<Option<&str>, StoreError>;

    /// A text of any characters that may be missing.
    fn optional_words(&self, column: &str) -> Result<Option<&str>, StoreError>;

    /// Bytes.
    fn bytes(&self, column: &str) -> Result<&[u8], StoreError>;
}

/// Implements [`Columns`] for a row; what differs is how words are read.
macro_rules! columns {
    ($row:ty, |$self:ident, $column:ident| $words:expr) => {
        impl Columns for $row {
            fn integer(&self, column: &str) -> Result<i64, StoreError> {
                Ok(self.try_get(column)?)
            }

            fn optional_integer(&self, column: &str) -> Result<Option<i64>, StoreError> {
                Ok(self.try_get(column)?)
            }

            fn optional_real(&self, column: &str) -> Result<Option<f64>, StoreError> {
                Ok(self.try_get(column)?)
            }

            fn flag(&self, column: &str) -> Result<bool, StoreError> {
                Ok(self.try_get(column)?)
            }

            fn text(&self, column: &str) -> Result<&str, StoreError> {
                Ok(self.try_get(column)?)
            }

            fn optional_text(&self, column: &str) -> Result<Option<&str>, StoreError> {
                Ok(self.try_get(column)?)
            }

            fn optional_words(&self, column: &str) -> Result<Option<&str>, StoreError> {
                let ($self, $column) = (self, column);
                $words
            }

            fn bytes(&self, column: &str) -> Result<&[u8], StoreError> {
                Ok(self.try_get(column)?)
            }
        }
    };
}

columns!(SqliteRow, |row, column| Ok(row.try_get(column)?));
columns!(PgRow, |row, column| {
    let bytes: Option<&[u8]> = row.try_get(column)?;
    let words = bytes.map(std::str::from_utf8).transpose();
    words.map_err(|_| StoreError::Damaged(format!("the column {column} of a row is no text")))
});
