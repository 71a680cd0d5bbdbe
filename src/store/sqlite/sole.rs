//! One serving process a file: a lock beside the database, held as long as the process lives.
//!
//! The operating system lets go of it with the process, however that ends; the file itself stays and means nothing.
//! Whoever holds it knows that every lease in the database is of a process that is gone. Tools that only read, or that
//! write beside a server, do not take it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::stream::StoreError;

/// Proof that no other process serves a database file.
#[derive(Debug)]
pub struct SoleProcess {
    /// Locked until it is closed.
    _lock: File,
}

impl SoleProcess {
    /// Locks the database at `path`, which need not be there yet.
    ///
    /// # Errors
    /// Another process holds it, or the lock cannot be written; the text says which and names the path.
    pub fn claim(path: &Path) -> Result<Self, StoreError> {
        let place = beside(path);
        let failed = |reason: String| StoreError::Unavailable(format!("the database {}: {reason}", path.display()));
        let broken = |error: std::io::Error| failed(format!("its lock {} cannot be taken: {error}", place.display()));
        if let Some(folder) = place.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(broken)?;
        }
        let mut file = open(&place).map_err(broken)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Who it is only helps; the lock decides.
                let read = file.read_to_string(&mut holder).is_ok() && !holder.trim().is_empty();
                let process = if read { format!("process {}", holder.trim()) } else { "another process".into() };
                return Err(failed(format!(
                    "{process} serves it already; one process owns a SQLite file. Stop that one, or keep the data in \
                     Postgres (`--database postgres://…`), where any number of servers and workers share them"
                )));
            }
            Err(TryLockError::Error(error)) => return Err(broken(error)),
        }
        // The number is for whoever is refused: a full disk must not keep the server from starting.
        let written = file.set_len(0).and_then(|()| file.seek(SeekFrom::Start(0)));
        if let Err(error) = written.and_then(|_| writeln!(file, "{}", std::process::id())) {
            tracing::warn!(%error, "the lock of the database does not say whose it is");
        }
        Ok(Self { _lock: file })
    }
}

/// Opens the lock, making it if need be. One that is there and may only be read can be locked all the same.
fn open(place: &Path) -> std::io::Result<File> {
    let found = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(place);
    match found {
        Err(error) if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem) => {
            File::open(place).map_err(|_| error)
        }
        found => found,
    }
}

/// The lock of a database, the same by whichever way its path is written.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.canonicalize().unwrap_or_else(|_| path.to_owned()).into_os_string();
    name.push(".lock");
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_a_process_serves_is_refused_to_the_next_and_free_when_that_ends() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data").join("perennial.db");
        let sole = SoleProcess::claim(&path).unwrap();
        let refused = SoleProcess::claim(&path).unwrap_err().to_string();
        let process = format!("process {}", std::process::id());
        assert!(refused.contains("perennial.db") && refused.contains(&process), "{refused}");
        assert!(refused.contains("Postgres"), "it says what to do: {refused}");
        SoleProcess::claim(&folder.path().join("data").join("other.db")).unwrap();
        drop(sole);
        SoleProcess::claim(&path).unwrap();
    }
}
