//! How Perennial's values stand in columns: numbers as i64, times as microseconds, documents as JSON text.
//!
//! What is written is read back the same; what cannot be read is [`StoreError::Damaged`] and named by its ids. For the
//! stores alone.

use std::fmt::Display;

use serde::Serialize;
use serde::de::DeserializeOwned;
use time::{Duration, OffsetDateTime};

use super::failure::damaged;
use crate::registry::BlobDigest;
use crate::stream::StoreError;

/// The microsecond that it is now, since 1970 in UTC.
pub(super) fn now() -> i64 {
    micros(OffsetDateTime::now_utc())
}

/// A time as its column holds it, cut to microseconds.
pub(super) fn micros(at: OffsetDateTime) -> i64 {
    i64::try_from(at.unix_timestamp_nanos().div_euclid(1_000))
        .expect("the years that `time` knows, up to 9999, fit into an i64 of microseconds")
}

/// So long after (or, if negative, before) a time; never beyond the column.
pub(super) fn later(at: i64, lasts: Duration) -> i64 {
    at.saturating_add(i64::try_from(lasts.whole_microseconds()).unwrap_or(i64::MAX))
}

/// Reads a time.
pub(super) fn time(micros: i64, what: impl Display) -> Result<OffsetDateTime, StoreError> {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1_000).map_err(|error| damaged(what, error))
}

/// A number to compare with: everything beyond the column is its largest number, which nothing reaches.
pub(super) fn bound(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

/// A number to keep.
pub(super) fn kept(number: u64) -> Result<i64, StoreError> {
    i64::try_from(number).map_err(|_| StoreError::Unavailable("a number is too large to be stored".into()))
}

/// Reads a number.
pub(super) fn number(stored: i64, what: impl Display) -> Result<u64, StoreError> {
    u64::try_from(stored).map_err(|_| damaged(what, "a number is negative"))
}

/// A document as its column holds it.
pub(super) fn json<T: Serialize>(document: &T) -> Result<String, StoreError> {
    serde_json::to_string(document)
        .map_err(|error| StoreError::Unavailable(format!("a document cannot be written as JSON: {error}")))
}

/// Reads a document. The reason gives the place and the kind of the fault, never the text: that may quote values.
pub(super) fn document<T: DeserializeOwned>(text: &str, what: impl Display) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| {
        let kind = format!("{:?}", error.classify()).to_lowercase();
        damaged(what, format_args!("JSON {kind} fault at line {} column {}", error.line(), error.column()))
    })
}

/// Reads a digest.
pub(super) fn digest(bytes: &[u8], what: impl Display) -> Result<BlobDigest, StoreError> {
    <[u8; 32]>::try_from(bytes).map(BlobDigest::from_bytes).map_err(|_| damaged(what, "a digest has 32 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_back_to_the_microsecond() {
        let at = OffsetDateTime::from_unix_timestamp_nanos(1_750_000_000_123_456_789).unwrap();
        assert_eq!(time(micros(at), "it").unwrap().unix_timestamp_nanos(), 1_750_000_000_123_456_000);
    }

    #[test]
    fn a_bound_beyond_the_column_is_its_largest_number() {
        assert_eq!(bound(u64::MAX), i64::MAX);
        assert_eq!(bound(7_usize), 7);
    }

    #[test]
    fn a_damaged_document_is_not_quoted() {
        let error = document::<u64>("\"a secret\"", "ticket 3 of learner 1").unwrap_err().to_string();
        assert!(error.contains("ticket 3 of learner 1") && !error.contains("secret"), "{error}");
    }

    #[test]
    fn lasting_for_ever_ends_at_the_last_microsecond() {
        assert_eq!(later(1, Duration::MAX), i64::MAX);
    }
}
