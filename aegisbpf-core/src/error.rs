//! What can go wrong, one variant for each thing a caller would do differently.

use std::path::PathBuf;

use crate::{policy::Problems, policy_file::PolicyFileError};

/// A `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The cause below an [`Error`], opaque so that the loader behind it may change.
pub type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why the enforcer did not do what it was asked to do. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// This host, or this backend, cannot do it.
    #[error("{what}: {reason}\nhelp: {remedy}")]
    Unsupported {
        /// What was asked for.
        what: String,
        /// What is missing.
        reason: String,
        /// How to get it.
        remedy: String,
        /// What the kernel said, where it was tried.
        source: Option<Source>,
    },
    /// The policy cannot hold on this host, or its text has errors: every problem, with its place.
    #[error(transparent)]
    Policy(#[from] Problems),
    /// The policy file was refused.
    #[error(transparent)]
    PolicyFile(#[from] PolicyFileError),
    /// The kernel refused a step that should have worked.
    #[error("{attempt}")]
    Kernel {
        /// What was attempted, on what.
        attempt: String,
        /// What the kernel said.
        source: Source,
    },
    /// [`Control::events`](crate::Control::events) was called a second time: the ring buffer has one reader.
    #[error(
        "the events of this enforcer were already taken\nhelp: keep the first `Events`, it is the only reader"
    )]
    EventsTaken,
    /// Another process reads the events: the ring buffer has one reader.
    #[error(
        "the events of this enforcer are read by another process{}\nhelp: read what it writes, or end it", by(*.pid)
    )]
    EventsRead {
        /// The reader, if it can be told.
        pid: Option<u32>,
    },
    /// No enforcer is pinned there.
    #[error("no enforcer is running: nothing is pinned at {}\nhelp: start one, `aegisbpf run --enforce --policy FILE`, or name its directory", .dir.display())]
    NotRunning {
        /// The directory that was looked at.
        dir: PathBuf,
    },
    /// The enforcer that is pinned there was made by a version of this library with other layouts.
    #[error("the enforcer that is pinned at {} has the layouts of version {found:?}, this program those of version {ours}\nhelp: use the program that it was started with, or start the enforcer anew with this one", .dir.display())]
    AbiMismatch {
        /// The directory that was looked at.
        dir: PathBuf,
        /// The versions that are there.
        found: Vec<u32>,
        /// The version of this library.
        ours: u32,
    },
    /// An enforcer is running there already.
    #[error("an enforcer is running already at {}{}\nhelp: end it first, or pin this one in another directory", .dir.display(), by(*.pid))]
    Running {
        /// The directory that it is pinned in.
        dir: PathBuf,
        /// Its process, if it can be told.
        pid: Option<u32>,
    },
    /// Rules that were to be removed are not in force.
    #[error("not in force: {}\nhelp: `aegisbpf policy show` prints what is", .rules.join(", "))]
    NoSuchRule {
        /// Each with its section, `[deny_path] /etc/shadow`.
        rules: Vec<String>,
    },
    /// The emergency switch was turned, and that could not be recorded. The one error that comes after the change.
    #[error("the emergency switch was turned ({action}), but {} could not be written\nhelp: note by hand who did it and why; name another file with --log", .log.display())]
    Unrecorded {
        /// `disable` or `enable`.
        action: &'static str,
        /// The file.
        log: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another process changes the same enforcer, for longer than we wait.
    #[error("{what}: another process has been changing this enforcer for 30 seconds{}\nhelp: see what it does; when it ends, however it ends, this can be done", by(*.pid))]
    Busy {
        /// What was attempted.
        what: String,
        /// The other process, if it can be told.
        pid: Option<u32>,
    },
}

/// `, process 4711`, where it is known.
fn by(pid: Option<u32>) -> String {
    pid.map_or_else(String::new, |pid| format!(", process {pid}"))
}

impl Error {
    pub(crate) fn kernel(attempt: impl Into<String>, source: impl Into<Source>) -> Self {
        Self::Kernel {
            attempt: attempt.into(),
            source: source.into(),
        }
    }

    /// What this host, backend or build cannot do: what was asked for, what is missing, how to get it.
    #[must_use]
    pub fn unsupported(
        what: impl Into<String>,
        reason: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::Unsupported {
            what: what.into(),
            reason: reason.into(),
            remedy: remedy.into(),
            source: None,
        }
    }

    /// The message with its whole chain of causes, and the remedy at the end.
    #[must_use]
    pub fn chain(&self) -> String {
        let text = self.to_string();
        let (text, remedy) = match text.split_once("\nhelp: ") {
            Some((text, remedy)) => (text, Some(remedy)),
            None => (text.as_str(), None),
        };
        let mut chain = text.to_owned();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            let message = error.to_string();
            let message = message
                .trim_end()
                .trim_end_matches("Verifier output:")
                .trim_end_matches([' ', '.']);
            // Some layers repeat their source in their own message.
            if !chain.contains(message) {
                chain = format!("{chain}: {message}");
            }
            cause = error.source();
        }
        match remedy {
            Some(remedy) => format!("{chain}\nhelp: {remedy}"),
            None => chain,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_ends_with_the_remedy() {
        let error = Error::Unsupported {
            what: "enforcing".into(),
            reason: "the kernel refused it".into(),
            remedy: "audit".into(),
            source: Some("EPERM".into()),
        };
        assert_eq!(
            error.chain(),
            "enforcing: the kernel refused it: EPERM\nhelp: audit"
        );
    }
}
