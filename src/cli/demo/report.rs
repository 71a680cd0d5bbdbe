//! The closing table, for people and as JSON.

use serde::Serialize;
use serde_json::{Value, json};

use crate::cli::table::{table, whole};

/// A network at one moment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Standing {
    /// Examples learned from or held out: the trainer's place in the stream.
    pub examples: u64,
    /// The widths of its layers.
    pub network: String,
    /// Its trained parameters.
    pub parameters: u64,
    /// The share of the rows kept back that it answers right.
    pub accuracy: f64,
}

/// One growth.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Growth {
    /// `wider`, `deeper`, …
    pub op: String,
    /// `policy`, `manual` or `stream`.
    pub trigger: String,
    /// The trainer's place in the stream.
    pub seq: u64,
    /// Trained parameters of the teacher.
    pub parameters_before: u64,
    /// Trained parameters of the student.
    pub parameters_after: u64,
    /// Accuracy of the teacher on the rows kept back.
    pub accuracy_before: f64,
    /// Accuracy of the student at the moment of the growth.
    pub accuracy_after: f64,
    /// The certificate's largest absolute difference of a logit.
    pub max_abs_diff: f64,
    /// The same, relative.
    pub max_rel_diff: f64,
    /// The widths of the student's layers.
    #[serde(skip)]
    pub network: String,
}

/// A demonstration from start to end.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Version 1, untrained.
    pub start: Standing,
    /// In order.
    pub growths: Vec<Growth>,
    /// When training is idle.
    pub end: Standing,
}

impl Report {
    /// The table as JSON.
    pub fn document(&self) -> Value {
        json!({"start": self.start, "growths": self.growths, "end": self.end})
    }

    /// The table for people.
    pub fn table(&self) -> String {
        let columns = ["", "examples", "network", "parameters", "accuracy on rows kept back", "max rel diff"];
        let mut rows = table(&columns, &[1, 3, 4, 5]);
        let standing = |name: &str, at: &Standing| {
            let accuracy = format!("{:.4}", at.accuracy);
            vec![name.to_owned(), whole(at.examples), at.network.clone(), whole(at.parameters), accuracy, "".into()]
        };
        rows.add_row(standing("start", &self.start));
        for growth in &self.growths {
            rows.add_row(vec![
                format!("{} ({})", growth.op, growth.trigger),
                whole(growth.seq),
                growth.network.clone(),
                format!("{} → {}", whole(growth.parameters_before), whole(growth.parameters_after)),
                format!("{:.4} → {:.4}", growth.accuracy_before, growth.accuracy_after),
                format!("{:.1e}", growth.max_rel_diff),
            ]);
        }
        rows.add_row(standing("end", &self.end));
        rows.to_string()
    }
}
