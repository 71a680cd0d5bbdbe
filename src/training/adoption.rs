//! New names by order: which of the categories, features and classes that an operator names would get a place, or why
//! none would.
//!
//! Asked by the trainer that carries an order out and by the dry run that only shows it, so that the two never disagree.

use crate::growth::Refusal;
use crate::stream::encoder::NewCategories;
use crate::stream::{Encoder, Feature, Targets, Task};

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

/// The features that would be added, as they will stand in the schema. Each must be sound by itself.
///
/// # Errors
/// The learner reads one image as a picture, has a feature of one of the names, or the schema would be too large.
pub fn asked_features(encoder: &Encoder, features: &[Feature]) -> Result<Vec<Feature>, Refusal> {
    let schema = encoder.schema();
    if encoder.shape().plane().is_some() {
        let text = "the learner reads one image as a picture: its network has no place for features beside it";
        return Err(refusal(text.into()));
    }
    for feature in features {
        if schema.features.iter().any(|known| known.name == feature.name) {
            return Err(refusal(format!("there is a feature `{}` already", feature.name)));
        }
    }
    let grown = schema.with(features);
    match grown.faults().into_iter().next() {
        Some((_, detail)) => Err(refusal(format!("the schema would be at fault: {detail}"))),
        None => Ok(grown.features[schema.features.len()..].to_vec()),
    }
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
