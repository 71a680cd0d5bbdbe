//! Averages of the weights: what a learner with `average_decay` publishes, while it trains on with the newest weights.
//!
//! Invariant: such a learner has an average for every trained parameter, and one without has none. Statistics are averages
//! of their own and stand as they are. Called by the trainer.

use std::borrow::Cow;

use candle_core::Tensor;

use super::settings::TrainingSettings;
use crate::growth::State;
use crate::network::{ParameterId, Parameters};

/// Brings a state in accord with the settings: averages that are to be kept and are not there begin at the weights, and
/// those that are not to be kept go. Whether any went: what would be published is something else then.
pub(super) fn keep(state: &mut State, settings: &TrainingSettings) -> Kept {
    let mut kept = Kept::Same;
    let State { parameters, optimizer } = state;
    // Parameters and moments have the same names; those without moments are statistics.
    for (id, parameter) in parameters.iter() {
        let Some(moments) = optimizer.moments.get_mut(id.as_str()) else { continue };
        if settings.average_decay > 0.0 {
            moments.average.get_or_insert_with(|| parameter.clone());
        } else if moments.average.take().is_some() {
            kept = Kept::Dropped;
        }
    }
    kept
}

/// What became of the averages of a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// It would be published as before.
    Same,
    /// Averages were dropped: the weights themselves would be published.
    Dropped,
}

/// The weights that a version of this state has: averages where they are kept.
pub(super) fn published(state: &State) -> Cow<'_, Parameters> {
    let moments = &state.optimizer.moments;
    if moments.values().all(|moments| moments.average.is_none()) {
        return Cow::Borrowed(&state.parameters);
    }
    let averaged = |(id, parameter): (&ParameterId, &Tensor)| {
        let average = moments.get(id.as_str()).and_then(|moments| moments.average.as_ref());
        (id.clone(), average.unwrap_or(parameter).clone())
    };
    Cow::Owned(state.parameters.iter().map(averaged).collect())
}
