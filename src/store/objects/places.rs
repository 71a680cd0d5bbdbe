//! The places that a database's blobs lie in: the one that new blobs go to, and those that older ones went to.
//!
//! A blob's row says its place, so changing the setting leaves older blobs readable where they are.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{Address, ObjectName, Objects};
use crate::registry::BlobDigest;
use crate::store::failure::damaged;
use crate::stream::StoreError;

/// How often objects are listed to find those without a row: only a process that was killed leaves any.
const LIST_EVERY: Duration = Duration::from_secs(3_600);

/// A place by the number of its row.
#[derive(Debug, Clone)]
pub(in crate::store) struct Place {
    /// The row's number.
    pub(in crate::store) id: i64,
    objects: Arc<Objects>,
}

/// A blob in an object store, as its row describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct PlacedBlob {
    /// Its object's name.
    pub(in crate::store) name: ObjectName,
    /// The number of its place.
    pub(in crate::store) place: i64,
}

/// What a store knows of its places.
pub(in crate::store) struct Places {
    namespace: String,
    current: Option<Place>,
    known: Mutex<HashMap<i64, Arc<Objects>>>,
    listed: Mutex<Option<Instant>>,
}

impl Places {
    /// The places of a database with this namespace; `current` is where new blobs go, `None`: into the database.
    pub(in crate::store) fn new(namespace: String, current: Option<Place>) -> Self {
        let known = current.iter().map(|place| (place.id, place.objects.clone())).collect();
        Self { namespace, current, known: Mutex::new(known), listed: Mutex::default() }
    }

    /// Where new blobs go.
    pub(in crate::store) fn current(&self) -> Option<&Place> {
        self.current.as_ref()
    }

    /// Writes a blob's object; its row is there already.
    pub(in crate::store) async fn put(&self, place: &Place, name: &ObjectName, bytes: &[u8]) -> Result<(), StoreError> {
        place.objects.put(&self.namespace, name, bytes).await
    }

    /// Reads a blob and verifies its digest; `None` if its object is not there. `url` finds the place if it is not known yet.
    pub(in crate::store) async fn get(&self, blob: &PlacedBlob, url: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let objects = self.place(blob.place, url)?.objects;
        let Some(bytes) = objects.get(&self.namespace, &blob.name).await? else { return Ok(None) };
        let digest = blob.name.digest;
        let hashing = move || {
            let sound = BlobDigest::of(&bytes) == digest;
            sound.then_some(bytes)
        };
        let bytes = tokio::task::spawn_blocking(hashing).await.map_err(crate::store::failure::broken_off)?;
        bytes
            .map(Some)
            .ok_or_else(|| damaged(format_args!("blob {}", digest.to_hex()), "its bytes are not those of its digest"))
    }

    /// Deletes the object of a row that is gone.
    pub(in crate::store) async fn delete(&self, blob: &PlacedBlob, url: &str) -> Result<(), StoreError> {
        self.place(blob.place, url)?.objects.delete(&self.namespace, &blob.name).await
    }

    /// Every object of this database in a place.
    pub(in crate::store) async fn list(&self, place: i64, url: &str) -> Result<Vec<PlacedBlob>, StoreError> {
        let names = self.place(place, url)?.objects.list(&self.namespace).await?;
        Ok(names.into_iter().map(|name| PlacedBlob { name, place }).collect())
    }

    /// Whether it is time to list objects; the caller does so then.
    pub(in crate::store) fn listing_is_due(&self) -> bool {
        let mut listed = self.listed.lock().unwrap_or_else(PoisonError::into_inner);
        let due = listed.is_none_or(|at| at.elapsed() >= LIST_EVERY);
        if due {
            *listed = Some(Instant::now());
        }
        due
    }

    /// A place, opened at its first use.
    fn place(&self, id: i64, url: &str) -> Result<Place, StoreError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(objects) = known.get(&id) {
            return Ok(Place { id, objects: objects.clone() });
        }
        let place = Place::open(id, url)?;
        known.insert(id, place.objects.clone());
        Ok(place)
    }
}

impl Place {
    /// Opens the place of a row.
    pub(in crate::store) fn open(id: i64, url: &str) -> Result<Self, StoreError> {
        let address = Address::parse(url)
            .map_err(|reason| StoreError::Unavailable(format!("place {id} of blobs cannot be used: {reason}")))?;
        Ok(Self { id, objects: Arc::new(Objects::open(&address)?) })
    }
}
