//! What becomes of offered examples, as metrics. A repeated request counts again: its examples were offered again.

use std::collections::BTreeSet;
use std::sync::PoisonError;

use prometheus::IntGaugeVec;

use super::state::AppState;
use crate::stream::decode::DecodeError;
use crate::stream::writer::WriteError;
use crate::stream::{Appended, LearnerName, Seq};

/// Counts the examples of a request that reached the writer.
pub fn written(state: &AppState, learner: &LearnerName, examples: usize, outcome: &Result<Appended, WriteError>) {
    match outcome {
        Ok(appended) => {
            count(state, learner, "accepted", appended.accepted);
            count(state, learner, "duplicate", appended.duplicates);
            count(state, learner, "replaced", appended.replaced);
            raise_head(state, learner, appended.head_seq.0);
        }
        Err(WriteError::QueueFull { .. } | WriteError::Stopping | WriteError::Store(_)) => {
            count(state, learner, "rejected", examples as u64);
        }
        // Nothing is known against the examples themselves.
        Err(WriteError::InProgress | WriteError::Refused(_)) => {}
    }
}

/// Counts the examples that are at fault, as far as they are known.
pub fn invalid(state: &AppState, learner: &LearnerName, error: &DecodeError) {
    let rows = match error {
        DecodeError::Invalid(faults) => {
            let row = |pointer: &str| pointer.split('/').find_map(|step| step.parse::<usize>().ok());
            let rows: BTreeSet<usize> = faults.iter().filter_map(|fault| row(&fault.pointer)).collect();
            rows.len().max(1)
        }
        DecodeError::Malformed(_) | DecodeError::TooManyRows { .. } | DecodeError::TooLong { .. } => 1,
    };
    count(state, learner, "invalid", rows as u64);
}

/// Counts examples that are at fault, of a request whose others are stored.
pub fn rejected(state: &AppState, learner: &LearnerName, examples: u64) {
    count(state, learner, "invalid", examples);
}

fn count(state: &AppState, learner: &LearnerName, outcome: &str, examples: u64) {
    let _one_at_a_time = state.heads.lock().unwrap_or_else(PoisonError::into_inner);
    // A learner deleted meanwhile must not get its labels back.
    if state.directory.get(learner).is_some() {
        state.metrics.ingest.examples.with_label_values(&[learner.as_str(), outcome]).inc_by(examples);
    }
}

/// Answers may overtake each other; the head shown never goes back.
fn raise_head(state: &AppState, learner: &LearnerName, head: u64) {
    raise(state, learner, &state.metrics.ingest.head_seq, head);
}

/// Shows how far a learner's stream goes and how far it is trained, as the store has it. Neither ever goes back.
pub fn stream(state: &AppState, learner: &LearnerName, head: Seq, trained: Seq) {
    raise(state, learner, &state.metrics.ingest.head_seq, head.0);
    raise(state, learner, &state.metrics.ingest.trained_seq, trained.0);
}

fn raise(state: &AppState, learner: &LearnerName, gauges: &IntGaugeVec, seq: u64) {
    let _one_at_a_time = state.heads.lock().unwrap_or_else(PoisonError::into_inner);
    if state.directory.get(learner).is_some() {
        let gauge = gauges.with_label_values(&[learner.as_str()]);
        gauge.set(gauge.get().max(i64::try_from(seq).unwrap_or(i64::MAX)));
    }
}
