//! Finding and reading what a policy file includes, with the same trust as the first file.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{PolicyFileError, SIZE_LIMIT, only_ours, read};
use crate::policy::{Include, IncludeError, Loader};

/// Finds and reads policy files.
#[derive(Default)]
pub(super) struct Files {
    /// The paths of the files that were found, by their identities: the names that are shown may not be the true ones,
    /// since text is UTF-8 and paths are not.
    paths: HashMap<Arc<str>, PathBuf>,
    /// Bytes read so far. Many files together have no more than one.
    total: u64,
}

impl Files {
    pub(super) fn bytes(&mut self, path: &Path) -> Result<Vec<u8>, PolicyFileError> {
        let bytes = read(path, SIZE_LIMIT - self.total)?;
        self.total += bytes.len() as u64;
        Ok(bytes)
    }

    fn found(&mut self, path: PathBuf) -> Include {
        let file = Include::new(path.display().to_string(), identity(&path));
        self.paths.insert(file.identity.clone(), path);
        file
    }
}

/// A path is looked for from the directory of the file that includes it.
impl Loader for Files {
    fn find(&mut self, path: &Path, from: &str) -> Result<Vec<Include>, IncludeError> {
        let path = Path::new(from).parent().unwrap_or(Path::new("")).join(path);
        let read = |source| PolicyFileError::Read {
            path: path.clone(),
            source,
        };
        let meta = fs::metadata(&path).map_err(read).map_err(refuse)?;
        if !meta.is_dir() {
            return Ok(vec![self.found(path)]);
        }
        // Who may write the directory can take a file out of it.
        only_ours(&path, &meta).map_err(refuse)?;
        let mut names = Vec::new();
        for entry in fs::read_dir(&path).map_err(read).map_err(refuse)? {
            let name = entry.map_err(read).map_err(refuse)?.file_name();
            let bytes = name.as_encoded_bytes();
            if bytes.ends_with(b".conf") && !bytes.starts_with(b".") {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names
            .into_iter()
            .map(|name| self.found(path.join(name)))
            .collect())
    }

    fn read(&mut self, file: &Include) -> Result<Vec<u8>, IncludeError> {
        let path = self.paths.get(&file.identity).cloned();
        let path = path.unwrap_or_else(|| PathBuf::from(&*file.source));
        self.bytes(&path).map_err(refuse)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` gives")]
fn refuse(error: PolicyFileError) -> IncludeError {
    IncludeError::new(error.to_string(), "mend that, or remove the line")
}

/// The same for two names of one file.
pub(super) fn identity(path: &Path) -> String {
    let real = fs::canonicalize(path);
    real.as_deref().unwrap_or(path).display().to_string()
}

/// Includes nothing, since a checksum covers one file.
pub(super) struct Sealed;

impl Loader for Sealed {
    fn find(&mut self, _path: &Path, _from: &str) -> Result<Vec<Include>, IncludeError> {
        Err(IncludeError::new(
            "the checksum covers the first file alone",
            "write all into one file, by `aegisbpf policy normalize`, and take the checksum of that",
        ))
    }

    fn read(&mut self, _file: &Include) -> Result<Vec<u8>, IncludeError> {
        Err(IncludeError::new("nothing was found", "include no file"))
    }
}
