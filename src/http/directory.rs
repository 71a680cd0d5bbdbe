//! The learners that this process knows, by name: so that predictions need no database.
//!
//! What stands here of a learner (schema, task) never changes; its settings and head may be older than the store's.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::stream::LearnerName;
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

    /// Keeps a learner, or its newer record.
    pub fn insert(&self, record: LearnerRecord) {
        let name = record.document.name.clone();
        self.learners.write().unwrap_or_else(PoisonError::into_inner).insert(name, Arc::new(record));
    }

    /// Forgets a learner.
    pub fn remove(&self, name: &LearnerName) {
        self.learners.write().unwrap_or_else(PoisonError::into_inner).remove(name);
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
