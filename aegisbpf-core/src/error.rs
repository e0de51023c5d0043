//! What can go wrong, one variant for each thing a caller would do differently.

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
    /// [`Enforcer::events`](crate::Enforcer::events) was called a second time: the ring buffer has one reader.
    #[error(
        "the events of this enforcer were already taken\nhelp: keep the first `Events`, it is the only reader"
    )]
    EventsTaken,
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
