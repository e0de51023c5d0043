//! Reading a policy from a file, and the files that are not trusted with one.

use std::io;
use std::path::{Path, PathBuf};

use crate::policy::{Policy, Problems};

/// Why a file gave no policy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyFileError {
    /// The file could not be opened or read.
    #[error("cannot read the policy {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A directory was named.
    #[error("{} is a directory, a policy is one file: name the file in it", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
    },
    /// A device, pipe or socket was named.
    #[error("{} is not a regular file: save the policy to a file and name that", path.display())]
    NotRegular {
        /// The special file.
        path: PathBuf,
    },
    /// Others could change the policy.
    #[error(
        "{} is writable by its group or by others (mode {mode:o}), who could rewrite the policy: run `chmod go-w {}`",
        path.display(), path.display()
    )]
    Writable {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Somebody else owns the file and so could change the policy.
    #[error(
        "{} belongs to user {owner}, who could rewrite the policy: run `chown root {}` as root, or copy the file",
        path.display(), path.display()
    )]
    Owner {
        /// The file.
        path: PathBuf,
        /// The owner's user id.
        owner: u32,
    },
    /// The file is larger than a policy can sensibly be.
    #[error("{} is larger than {limit} bytes, the most that a policy may have: is it the right file?", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit, in bytes.
        limit: u64,
    },
    /// The text has errors.
    #[error(transparent)]
    Invalid(#[from] Problems),
}

impl Policy {
    /// Reads the policy file `path`.
    ///
    /// # Errors
    /// The file is refused unread if it is not a regular file, is larger than 64 MiB, or may be changed by
    /// anyone but root and the caller. Otherwise as [`Policy::parse`].
    pub fn from_path(path: impl AsRef<Path>) -> Result<Self, PolicyFileError> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(|source| PolicyFileError::Read {
            path: path.into(),
            source,
        })?;
        Ok(Self::parse_bytes(&bytes, path.display().to_string())?)
    }
}
