//! Where blobs go, as `storage.blobs` says it: a folder or the URL of a bucket, parsed at the edge.
//!
//! The same place is always written the same way, because blobs remember the place they were written to.

use std::path::{Component, Path, PathBuf};

/// The schemes of cloud storage that the feature `cloud` brings.
const CLOUD: [&str; 3] = ["s3", "gs", "az"];

/// A place for objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    /// An absolute path.
    Folder(PathBuf),
    /// A bucket and a prefix in it, without slashes at its ends.
    Bucket { scheme: String, bucket: String, prefix: String },
}

impl Address {
    /// Reads a setting that is not empty.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn parse(setting: &str) -> Result<Self, String> {
        let Some((scheme, rest)) = setting.split_once("://") else { return folder(Path::new(setting)) };
        if scheme == "file" {
            return match rest.starts_with('/') {
                true => folder(Path::new(rest)),
                false => Err("a file URL has an absolute path: file:///path".into()),
            };
        }
        if !CLOUD.contains(&scheme) {
            return Err(format!(
                "blobs go to a folder, file:///path, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix, not to {scheme}://"
            ));
        }
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let sound = |text: &str| !text.contains(['?', '#', '@', '\\']) && !text.split('/').any(|part| part == "..");
        if bucket.is_empty() || !sound(rest) {
            return Err(format!("a place in cloud storage is {scheme}://bucket/prefix"));
        }
        let prefix = prefix.split('/').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/");
        Ok(Self::Bucket { scheme: scheme.to_owned(), bucket: bucket.to_owned(), prefix })
    }

    /// The one way in which this place is written.
    pub(crate) fn url(&self) -> String {
        match self {
            Self::Folder(path) => format!("file://{}", path.display()),
            Self::Bucket { scheme, bucket, prefix } if prefix.is_empty() => format!("{scheme}://{bucket}"),
            Self::Bucket { scheme, bucket, prefix } => format!("{scheme}://{bucket}/{prefix}"),
        }
    }
}

/// An absolute path without `.` and `..`, whether it is there or not.
fn folder(path: &Path) -> Result<Address, String> {
    let path = std::path::absolute(path).map_err(|error| error.to_string())?;
    if path.to_str().is_none() {
        return Err("the folder's path is not UTF-8".into());
    }
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => _ = plain.pop(),
            Component::CurDir => {}
            part => plain.push(part),
        }
    }
    Ok(Address::Folder(plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_always_written_the_same_way() {
        for (setting, url) in [
            ("/var/blobs/", "file:///var/blobs"),
            ("file:///var/./lib/../blobs", "file:///var/blobs"),
            ("s3://models", "s3://models"),
            ("s3://models//a/b/", "s3://models/a/b"),
            ("az://models/a", "az://models/a"),
        ] {
            let address = Address::parse(setting).unwrap();
            assert_eq!(address.url(), url);
            assert_eq!(Address::parse(url).unwrap(), address);
        }
        assert!(Address::parse("blobs").unwrap().url().starts_with("file:///"));
    }

    #[test]
    fn a_place_that_is_none_is_refused() {
        for setting in
            ["file://blobs", "ftp://host/blobs", "s3://", "s3:///prefix", "gs://a/../b", "s3://key:secret@host"]
        {
            assert!(Address::parse(setting).is_err(), "{setting}");
        }
    }
}
