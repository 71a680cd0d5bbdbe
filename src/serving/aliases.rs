//! What aliases other than `live` name, remembered for a moment: so that a client that predicts by alias asks the database
//! once a second and not with every request, and goes on predicting while the database does not answer.
//!
//! What another process moves is seen within [`FRESH`]; what this process moves is forgotten at once. `live` has its slot.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::predictor::PredictError;
use crate::registry::{AliasName, RegistryStore, VersionId};
use crate::stream::{LearnerId, StoreError};

/// How long an answer of the store is believed.
const FRESH: Duration = Duration::from_secs(1);

/// How long the store may take to answer where an older answer is at hand.
const PATIENCE: Duration = Duration::from_millis(250);

/// Aliases by learner and name.
#[derive(Default)]
pub struct AliasCache {
    known: Mutex<HashMap<(LearnerId, AliasName), Known>>,
}

#[derive(Clone, Copy)]
struct Known {
    version: VersionId,
    read: Instant,
}

impl AliasCache {
    /// What an alias names.
    ///
    /// # Errors
    /// [`PredictError::UnknownAlias`]; [`PredictError::Store`] where the store fails and nothing older is known.
    pub async fn resolve(
        &self,
        store: &dyn RegistryStore,
        learner: LearnerId,
        alias: &AliasName,
    ) -> Result<VersionId, PredictError> {
        let key = (learner, alias.clone());
        let known = self.known().get(&key).copied();
        if let Some(known) = known.filter(|known| known.read.elapsed() < FRESH) {
            return Ok(known.version);
        }
        let asked = store.alias(learner, alias.as_str());
        let answer = match known {
            None => asked.await,
            Some(_) => tokio::time::timeout(PATIENCE, asked)
                .await
                .unwrap_or_else(|_| Err(StoreError::Unavailable("an alias was not read in time".into()))),
        };
        match (answer, known) {
            (Ok(Some(version)), _) => {
                self.known().insert(key, Known { version, read: Instant::now() });
                Ok(version)
            }
            (Ok(None), _) => {
                self.known().remove(&key);
                Err(PredictError::UnknownAlias)
            }
            (Err(error), Some(known)) => {
                tracing::warn!(learner = learner.0, %alias, %error, "an alias is taken as it was known last");
                self.known().insert(key, Known { read: Instant::now(), ..known });
                Ok(known.version)
            }
            (Err(error), None) => Err(error.into()),
        }
    }

    /// Aliases of a learner were changed, or the learner is gone: what is known of them is asked again.
    pub fn forget(&self, learner: LearnerId) {
        self.known().retain(|(whose, _), _| *whose != learner);
    }

    fn known(&self) -> MutexGuard<'_, HashMap<(LearnerId, AliasName), Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
