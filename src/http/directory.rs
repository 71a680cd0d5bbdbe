//! The learners that this process knows, by name: so that predictions need no database.
//!
//! What stands here of a learner may be older than the store's: its settings, its head, and its schema until somebody names
//! a feature that growth has added since. A schema only grows, and an older one never takes the place of a newer one here.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::stream::{LearnerId, LearnerName};
use crate::training::LearnerRecord;

/// The known learners. Cheap to clone.
#[derive(Clone, Default)]
pub struct Directory {
    learners: Arc<RwLock<BTreeMap<LearnerName, Arc<LearnerRecord>>>>,
    /// Held while a learner is created, so that two requests cannot both take the last free place.
    pub creating: Arc<tokio::sync::Mutex<()>>,
}

impl Directory {
    /// A learner by name.
    pub fn get(&self, name: &LearnerName) -> Option<Arc<LearnerRecord>> {
        self.learners.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Whether a learner is known by number.
    pub fn is_known(&self, learner: LearnerId) -> bool {
        self.learners.read().unwrap_or_else(PoisonError::into_inner).values().any(|record| record.id == learner)
    }

    /// Keeps a learner.
    pub fn insert(&self, record: LearnerRecord) {
        let name = record.document.name.clone();
        self.learners.write().unwrap_or_else(PoisonError::into_inner).insert(name, Arc::new(record));
    }

    /// Keeps a newer record of a learner that is known; one that was deleted meanwhile stays forgotten.
    pub fn renew(&self, mut record: LearnerRecord) {
        let mut learners = self.learners.write().unwrap_or_else(PoisonError::into_inner);
        let Some(known) = learners.get_mut(&record.document.name).filter(|known| known.id == record.id) else { return };
        // Two that read the store at about the same time may come here in the other order.
        if known.document.schema.features.len() > record.document.schema.features.len() {
            record.document.schema = known.document.schema.clone();
        }
        *known = Arc::new(record);
    }

    /// Forgets a learner; `false` if another one has its name, or nobody.
    pub fn remove(&self, record: &LearnerRecord) -> bool {
        let mut learners = self.learners.write().unwrap_or_else(PoisonError::into_inner);
        let name = &record.document.name;
        let is_known = learners.get(name).is_some_and(|known| known.id == record.id);
        is_known && learners.remove(name).is_some()
    }

    /// All of them, in order of name.
    pub fn all(&self) -> Vec<Arc<LearnerRecord>> {
        self.learners.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.learners.read().unwrap_or_else(PoisonError::into_inner).len()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use time::OffsetDateTime;

    use super::*;
    use crate::stream::{Feature, FeatureKind, Seq};

    fn record(id: i64, features: usize, revision: u64) -> LearnerRecord {
        let mut document: crate::training::LearnerDocument = serde_json::from_value(json!({
            "name": "cats", "task": {"kind": "regression"}, "schema": {"features": []},
            "network": {"kind": "mlp", "hidden": [1]},
        }))
        .unwrap();
        let feature = |index: usize| Feature::new(index.to_string(), FeatureKind::Numeric);
        document.schema.features = (0..features).map(feature).collect();
        let created_at = OffsetDateTime::UNIX_EPOCH;
        LearnerRecord { id: LearnerId(id), document, revision, created_at, head: Seq(0) }
    }

    #[test]
    fn a_schema_that_was_read_late_does_not_take_the_place_of_a_newer_one() {
        let directory = Directory::default();
        directory.insert(record(1, 1, 1));
        directory.renew(record(1, 3, 1));
        directory.renew(record(1, 2, 2));
        let known = directory.get(&record(1, 1, 1).document.name).unwrap();
        assert_eq!((known.revision, known.document.schema.features.len()), (2, 3));
    }

    #[test]
    fn a_record_of_a_deleted_learner_brings_nothing_back() {
        let directory = Directory::default();
        directory.renew(record(1, 1, 1));
        assert_eq!(directory.len(), 0);
        directory.insert(record(2, 1, 1));
        directory.renew(record(1, 2, 5));
        assert_eq!(directory.all()[0].id, LearnerId(2));
        assert!(!directory.remove(&record(1, 1, 1)), "another one has the name by now");
        assert!(directory.remove(&record(2, 1, 1)));
    }
}
