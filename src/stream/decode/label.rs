//! One label, against the task. A JSON integer or boolean stands for the class of that text.
//!
//! Used by the decoders of bodies.

use std::collections::HashSet;

use super::place::At;
use super::read::{Kind, Number};
use crate::stream::example::Label;
use crate::stream::schema::{Task, class_fault};

/// What a task takes as a label.
pub(super) enum Labels<'s> {
    /// One of these.
    Closed(HashSet<&'s str>),
    /// Any class.
    Open,
    /// A number.
    Number,
}

impl<'s> Labels<'s> {
    /// The labels of a task.
    pub fn of(task: &'s Task) -> Self {
        match task {
            Task::Classification { open_classes: true, .. } => Self::Open,
            Task::Classification { classes, .. } => Self::Closed(classes.iter().map(String::as_str).collect()),
            Task::Regression => Self::Number,
        }
    }

    fn class(&self, at: At<'_>, text: &str) -> Option<Label> {
        match self {
            Self::Closed(classes) if !classes.contains(text) => {
                at.fault("the task does not have this class; tasks with `open_classes` take new ones");
                return None;
            }
            Self::Open => {
                if let Some(detail) = class_fault(text) {
                    at.fault(&detail);
                    return None;
                }
            }
            Self::Closed(_) => {}
            Self::Number => {
                at.fault("a number is expected");
                return None;
            }
        }
        Some(Label::Class(text.to_owned()))
    }
}

/// The label of an example; `None` after a fault.
#[derive(Clone, Copy)]
pub(super) struct LabelValue<'l>(pub &'l Labels<'l>);

impl Kind<'_> for LabelValue<'_> {
    type Output = Option<Label>;

    fn unfit(self, at: At<'_>) -> Option<Label> {
        match self.0 {
            Labels::Number => at.fault("a number is expected"),
            Labels::Closed(_) | Labels::Open => at.fault("a class is expected: a string, an integer or a boolean"),
        }
        None
    }

    fn boolean(self, at: At<'_>, text: &'static str) -> Option<Label> {
        self.0.class(at, text)
    }

    fn number(self, at: At<'_>, number: Number) -> Option<Label> {
        match (self.0, number) {
            (Labels::Number, number) => number.within_f32(at).map(Label::Number),
            (labels, Number::Unsigned(number)) => labels.class(at, &number.to_string()),
            (labels, Number::Signed(number)) => labels.class(at, &number.to_string()),
            (_, Number::Real(_)) => self.unfit(at),
        }
    }

    fn text(self, at: At<'_>, text: &str) -> Option<Label> {
        self.0.class(at, text)
    }
}
