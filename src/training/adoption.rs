//! New names by order: which of the categories and classes that an operator names would get a place, or why none would.
//!
//! Asked by the trainer that carries an order out and by the dry run that only shows it, so that the two never disagree.

use crate::growth::Refusal;
use crate::stream::encoder::NewCategories;
use crate::stream::{Encoder, Targets, Task};

/// The categories that would get a column.
///
/// # Errors
/// No categorical feature of this name, or none of the categories is new to it and has room.
pub fn asked_categories(encoder: &Encoder, feature: &str, categories: &[String]) -> Result<NewCategories, Refusal> {
    let Some(new) = encoder.new_categories_of(feature, categories) else {
        let known = encoder.schema().features.iter().any(|known| known.name == feature);
        return Err(refusal(match known {
            true => format!("the feature `{feature}` is not categorical"),
            false => format!("there is no feature `{feature}`"),
        }));
    };
    if new.values.is_empty() {
        let text = "each of these has a column, or the feature has `max_categories` already";
        return Err(refusal(format!("feature `{feature}`: {text}")));
    }
    Ok(new)
}

/// The classes that would get an output, each once, in the order in which they are named.
///
/// # Errors
/// A task that takes no new classes, or none of these is new.
pub fn asked_classes(task: &Task, targets: &Targets, classes: &[String]) -> Result<Vec<String>, Refusal> {
    let closed = match task {
        Task::Classification { open_classes: true, .. } => None,
        Task::Classification { .. } => {
            Some("the learner's classes are closed: only a task with `open_classes` takes new ones")
        }
        Task::Regression => Some("the learner predicts a number: it has no classes"),
    };
    if let Some(reason) = closed {
        return Err(refusal(reason.into()));
    }
    let mut new: Vec<String> = Vec::new();
    for class in classes {
        if targets.class_index(class).is_none() && !new.contains(class) {
            new.push(class.clone());
        }
    }
    if new.is_empty() {
        return Err(refusal("each of these classes has an output already".into()));
    }
    Ok(new)
}

fn refusal(reason: String) -> Refusal {
    Refusal::Request { reason }
}
