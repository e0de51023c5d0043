//! Reading a policy from a file, and the files that are not trusted with one.

mod include;

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::unistd::Uid;
use sha2::Digest;

use self::include::{Files, Sealed, identity};
use crate::policy::{Include, Policy, Problems, Sha256};

/// Why a file gave no policy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyFileError {
    /// The file could not be opened or read.
    #[error("cannot read the policy {}{}", path.display(), hint(source))]
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
    /// The file is not the one that was asked for.
    #[error(
        "{} has the checksum {found}, not {expected}: get the file anew, or the checksum if the file was changed on purpose",
        path.display()
    )]
    Checksum {
        /// The file.
        path: PathBuf,
        /// The checksum that was asked for.
        expected: Sha256,
        /// The checksum that it has.
        found: Sha256,
    },
    /// The text has errors.
    #[error(transparent)]
    Invalid(#[from] Problems),
}

/// The most bytes that a policy file may have: enough for a million rules.
const SIZE_LIMIT: u64 = 64 << 20;

impl Policy {
    /// Reads the policy file `path`, and what it includes.
    ///
    /// # Errors
    /// The file is refused unread if it is not a regular file, is larger than 64 MiB, or may be changed by anyone but
    /// root and the caller. Otherwise as [`Policy::parse`]; an included file that is refused is a problem of the line
    /// that includes it.
    pub fn from_path(path: impl AsRef<Path>) -> Result<Self, PolicyFileError> {
        let path = path.as_ref();
        let mut files = Files::default();
        let bytes = files.bytes(path)?;
        Ok(Self::parse_with(&bytes, first(path), &mut files)?)
    }

    /// As [`Policy::from_path`], if the file's bytes have this checksum. It may not include others, which no checksum covers.
    ///
    /// # Errors
    /// [`PolicyFileError::Checksum`] if they have another; otherwise as [`Policy::from_path`].
    pub fn from_path_with_sha256(
        path: impl AsRef<Path>,
        expected: Sha256,
    ) -> Result<Self, PolicyFileError> {
        let path = path.as_ref();
        let bytes = read(path, SIZE_LIMIT)?;
        let found = Sha256(sha2::Sha256::digest(&bytes).into());
        if found != expected {
            return Err(PolicyFileError::Checksum {
                path: path.into(),
                expected,
                found,
            });
        }
        Ok(Self::parse_with(&bytes, first(path), &mut Sealed)?)
    }
}

/// The file that is read first.
fn first(path: &Path) -> Include {
    Include::new(path.display().to_string(), identity(path))
}

/// The bytes of a file that is trusted, if there are no more than `most`.
fn read(path: &Path, most: u64) -> Result<Vec<u8>, PolicyFileError> {
    let failed = |source| PolicyFileError::Read {
        path: path.into(),
        source,
    };
    // Without O_NONBLOCK, opening a pipe would wait for a writer.
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let file = File::options()
        .read(true)
        .custom_flags(flags.bits())
        .open(path)
        .map_err(failed)?;
    trust(path, &file.metadata().map_err(failed)?)?;
    let mut bytes = Vec::new();
    file.take(most + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > most {
        return Err(PolicyFileError::TooLarge {
            path: path.into(),
            limit: SIZE_LIMIT,
        });
    }
    Ok(bytes)
}

/// Refuses a file that is none, or that others could change.
fn trust(path: &Path, meta: &Metadata) -> Result<(), PolicyFileError> {
    let path = path.to_owned();
    if meta.is_dir() {
        return Err(PolicyFileError::Directory { path });
    }
    if !meta.is_file() {
        return Err(PolicyFileError::NotRegular { path });
    }
    only_ours(&path, meta)?;
    if meta.len() > SIZE_LIMIT {
        return Err(PolicyFileError::TooLarge {
            path,
            limit: SIZE_LIMIT,
        });
    }
    Ok(())
}

/// Refuses what somebody else could change.
fn only_ours(path: &Path, meta: &Metadata) -> Result<(), PolicyFileError> {
    let path = path.to_owned();
    let mode = meta.mode() & 0o7777;
    if mode & 0o022 != 0 {
        return Err(PolicyFileError::Writable { path, mode });
    }
    let owner = meta.uid();
    if owner != 0 && owner != Uid::effective().as_raw() {
        return Err(PolicyFileError::Owner { path, owner });
    }
    Ok(())
}

/// What to do about an error of the system.
fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => ": there is no such file, check its name",
        io::ErrorKind::PermissionDenied => ": run as root or as a user who may read it",
        _ => "",
    }
}
