//! Blobs as objects in an object store: a folder, or a bucket in a build with the feature `cloud`.
//!
//! The database keeps the books: a blob's row is there before its object is written and says that it is complete only
//! after, and an object is deleted only after its row is gone. An object is named by its digest and the number of its row,
//! below a namespace of its database. So no two rows ever share an object, an object without a row is garbage whatever its
//! age, and databases may share a bucket. For the stores and `store::maintenance`.

mod address;
mod places;
mod remains;

use std::sync::Arc;

use futures_util::StreamExt as _;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _, PutPayload, WriteMultipart};

pub(in crate::store) use address::Address;
pub(in crate::store) use places::{Place, PlacedBlob, Places};
pub(in crate::store) use remains::Remains;

use crate::registry::BlobDigest;
use crate::stream::StoreError;

/// The most bytes that one request carries: above the least that cloud storage takes for a part (5 MiB).
const PART_BYTES: usize = 8 << 20;

/// Parts that are under way at once.
const PARTS_AT_ONCE: usize = 4;

/// One place that holds objects.
#[derive(Debug)]
pub(in crate::store) struct Objects {
    url: String,
    store: Arc<dyn ObjectStore>,
    prefix: Path,
}

/// The name of an object within its database's namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct ObjectName {
    /// The blob's digest.
    pub(in crate::store) digest: BlobDigest,
    /// The number of the blob's row.
    pub(in crate::store) row: i64,
}

impl ObjectName {
    /// The place below a namespace: folders of a digest's first two digits keep folders small.
    fn path(&self, prefix: &Path, namespace: &str) -> Path {
        let hex = self.digest.to_hex();
        let file = format!("{hex}-{}", self.row);
        prefix.clone().join(namespace.to_owned()).join(hex[..2].to_owned()).join(file)
    }

    /// Reads a file's name back; `None`: it is not one of ours.
    fn parse(file: &str) -> Option<Self> {
        let (digest, row) = file.split_once('-')?;
        Some(Self { digest: BlobDigest::from_hex(digest)?, row: row.parse().ok()? })
    }
}

impl Objects {
    /// Opens a place. A folder is created if need be.
    ///
    /// # Errors
    /// It cannot be opened, or this build does not know its kind.
    pub(in crate::store) fn open(address: &Address) -> Result<Self, StoreError> {
        let url = address.url();
        let failed =
            |reason: String| StoreError::Unavailable(format!("blobs cannot be kept in {}: {reason}", address.url()));
        let (store, prefix): (Arc<dyn ObjectStore>, Path) = match address {
            Address::Folder(path) => {
                std::fs::create_dir_all(path).map_err(|error| failed(error.to_string()))?;
                let store = LocalFileSystem::new_with_prefix(path).map_err(|error| failed(error.to_string()))?;
                (Arc::new(store.with_fsync(true)), Path::default())
            }
            Address::Bucket { scheme, bucket, prefix } => {
                let prefix = Path::parse(prefix).map_err(|error| failed(error.to_string()))?;
                (bucket_store(scheme, &format!("{scheme}://{bucket}")).map_err(failed)?, prefix)
            }
        };
        Ok(Self { url, store, prefix })
    }

    /// Writes an object whole; nobody sees half of it.
    pub(in crate::store) async fn put(
        &self,
        namespace: &str,
        name: &ObjectName,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        let path = name.path(&self.prefix, namespace);
        if bytes.len() <= PART_BYTES {
            let payload = PutPayload::from(bytes.to_vec());
            self.store.put(&path, payload).await.map_err(|error| self.failed(&error))?;
            return Ok(());
        }
        let upload = self.store.put_multipart(&path).await.map_err(|error| self.failed(&error))?;
        let mut upload = WriteMultipart::new_with_chunk_size(upload, PART_BYTES);
        for part in bytes.chunks(PART_BYTES) {
            if let Err(error) = upload.wait_for_capacity(PARTS_AT_ONCE).await {
                // What was sent is of no use; storage that cannot even drop it drops it by its own rules.
                upload.abort().await.ok();
                return Err(self.failed(&error));
            }
            upload.write(part);
        }
        upload.finish().await.map_err(|error| self.failed(&error))?;
        Ok(())
    }

    /// Reads an object; `None`: it is not there.
    pub(in crate::store) async fn get(
        &self,
        namespace: &str,
        name: &ObjectName,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        match self.store.get(&name.path(&self.prefix, namespace)).await {
            Ok(found) => Ok(Some(found.bytes().await.map_err(|error| self.failed(&error))?.into())),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed(&error)),
        }
    }

    /// Deletes an object; one that is not there is deleted.
    pub(in crate::store) async fn delete(&self, namespace: &str, name: &ObjectName) -> Result<(), StoreError> {
        match self.store.delete(&name.path(&self.prefix, namespace)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failed(&error)),
        }
    }

    /// Every object of a namespace, in no order.
    pub(in crate::store) async fn list(&self, namespace: &str) -> Result<Vec<ObjectName>, StoreError> {
        let mut listing = self.store.list(Some(&self.prefix.clone().join(namespace.to_owned())));
        let mut names = Vec::new();
        while let Some(found) = listing.next().await {
            let found = found.map_err(|error| self.failed(&error))?;
            names.extend(found.location.filename().and_then(ObjectName::parse));
        }
        Ok(names)
    }

    fn failed(&self, error: &object_store::Error) -> StoreError {
        StoreError::Unavailable(format!("the object store {}: {error}", self.url))
    }
}

/// A bucket, with credentials from the environment in the names that each cloud's own tools use.
#[cfg(feature = "cloud")]
fn bucket_store(scheme: &str, url: &str) -> Result<Arc<dyn ObjectStore>, String> {
    use object_store::RetryConfig;
    use object_store::aws::AmazonS3Builder;
    use object_store::azure::MicrosoftAzureBuilder;
    use object_store::gcp::GoogleCloudStorageBuilder;

    // A publish that fails is tried again by its trainer: no call has to wait out an outage.
    let retry =
        RetryConfig { max_retries: 4, retry_timeout: std::time::Duration::from_secs(30), ..RetryConfig::default() };
    let store: Result<Arc<dyn ObjectStore>, object_store::Error> = match scheme {
        "s3" => AmazonS3Builder::from_env().with_url(url).with_retry(retry).build().map(|store| Arc::new(store) as _),
        "gs" => GoogleCloudStorageBuilder::from_env()
            .with_url(url)
            .with_retry(retry)
            .build()
            .map(|store| Arc::new(store) as _),
        _ => {
            MicrosoftAzureBuilder::from_env().with_url(url).with_retry(retry).build().map(|store| Arc::new(store) as _)
        }
    };
    store.map_err(|error| error.to_string())
}

#[cfg(not(feature = "cloud"))]
fn bucket_store(scheme: &str, _url: &str) -> Result<Arc<dyn ObjectStore>, String> {
    Err(format!("{scheme}:// takes a build with the feature `cloud` (cargo build --release --features cloud)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_back_and_others_are_left_alone() {
        let name = ObjectName { digest: BlobDigest::of(b"weights"), row: 12 };
        let path = name.path(&Path::from("models"), "space");
        assert!(path.as_ref().starts_with("models/space/"));
        assert_eq!(ObjectName::parse(path.filename().unwrap()), Some(name));
        for other in ["readme.txt", "12-12", "", "-"] {
            assert_eq!(ObjectName::parse(other), None);
        }
    }

    #[cfg(not(feature = "cloud"))]
    #[test]
    fn a_bucket_in_a_build_without_clouds_names_the_feature() {
        let address = Address::parse("s3://models/a").unwrap();
        let error = Objects::open(&address).unwrap_err().to_string();
        assert!(error.contains("feature `cloud`") && error.contains("s3://models/a"), "{error}");
    }

    #[tokio::test]
    async fn an_object_of_many_parts_comes_back_and_deleting_twice_is_fine() {
        let folder = tempfile::tempdir().unwrap();
        let address = Address::parse(folder.path().join("new").to_str().unwrap()).unwrap();
        let objects = Objects::open(&address).unwrap();
        let bytes: Vec<u8> = (0..2 * PART_BYTES + 3).map(|index| (index / 251) as u8).collect();
        let name = ObjectName { digest: BlobDigest::of(&bytes), row: 1 };
        objects.put("space", &name, &bytes).await.unwrap();
        assert!(objects.get("space", &name).await.unwrap().unwrap() == bytes);
        assert_eq!(objects.get("other", &name).await.unwrap(), None);
        assert_eq!(objects.list("space").await.unwrap(), std::slice::from_ref(&name));
        objects.delete("space", &name).await.unwrap();
        objects.delete("space", &name).await.unwrap();
        assert!(objects.list("space").await.unwrap().is_empty());
    }
}
