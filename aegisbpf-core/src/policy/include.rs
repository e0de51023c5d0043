//! What `[include]` needs of the world. The language touches no host: whoever parses brings the reader.

use std::path::Path;
use std::sync::Arc;

/// A file that is included.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Include {
    /// The name that origins show.
    pub source: Arc<str>,
    /// The same for two names of one file, so that circles are found.
    pub identity: Arc<str>,
}

impl Include {
    /// A file by the name that origins show and by what tells it from all others.
    #[must_use]
    pub fn new(source: impl Into<Arc<str>>, identity: impl Into<Arc<str>>) -> Self {
        Self {
            source: source.into(),
            identity: identity.into(),
        }
    }
}

/// Why a file could not be included.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct IncludeError {
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}

impl IncludeError {
    /// What is wrong, and what to do about it.
    #[must_use]
    pub fn new(message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            remedy: remedy.into(),
        }
    }
}

/// Finds and reads what policies include.
pub trait Loader {
    /// The files that `path` names in the file `from`: itself, or those of the directory that end in `.conf`, sorted.
    ///
    /// # Errors
    /// If there is nothing of that name, or it may not be read.
    fn find(&mut self, path: &Path, from: &str) -> Result<Vec<Include>, IncludeError>;

    /// The text of a file that [`find`](Self::find) gave.
    ///
    /// # Errors
    /// If it cannot be read, or is not to be trusted.
    fn read(&mut self, file: &Include) -> Result<Vec<u8>, IncludeError>;
}

/// Includes nothing, for texts that are no files.
pub(super) struct Nothing;

impl Loader for Nothing {
    fn find(&mut self, _path: &Path, _from: &str) -> Result<Vec<Include>, IncludeError> {
        Err(IncludeError::new(
            "this policy was given as a text, which has no place from where to look",
            "save it to a file, or write the entries of the other file here",
        ))
    }

    fn read(&mut self, _file: &Include) -> Result<Vec<u8>, IncludeError> {
        Err(IncludeError::new("nothing was found", "include no file"))
    }
}
