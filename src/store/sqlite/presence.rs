//! Whether the file that is written is still the one that a restart would find.
//!
//! A file that was moved or deleted stays open, takes every write and syncs it, and with the process all of that is
//! gone. SQLite looks for this under a rollback journal and never under WAL. So whoever commits asks here before anything is
//! answered: one look at the directory, which the system has in memory. For the files of this folder alone.

use std::ffi::OsString;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::stream::StoreError;

/// A database file as it was when it was opened.
#[derive(Debug)]
pub(super) struct Presence {
    file: PathBuf,
    log: PathBuf,
    /// Device and inode.
    identity: (u64, u64),
}

impl Presence {
    /// Of the file that has just been opened under this path.
    pub(super) fn of(file: &Path) -> io::Result<Self> {
        let mut log = OsString::from(file);
        log.push("-wal");
        Ok(Self { file: file.to_owned(), log: log.into(), identity: identity(file)? })
    }

    /// Where it was opened.
    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// Whether the file stands where it stood, with its log beside it.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        let stands = identity(&self.file).is_ok_and(|found| found == self.identity) && self.log.exists();
        if stands {
            return Ok(());
        }
        let reason = "the database file was moved or deleted while it was open; put it back, or start again";
        Err(StoreError::Unavailable(reason.into()))
    }
}

fn identity(file: &Path) -> io::Result<(u64, u64)> {
    let found = std::fs::metadata(file)?;
    Ok((found.dev(), found.ino()))
}
