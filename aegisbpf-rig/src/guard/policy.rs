//! The policy under test, as text: parsing it is the enforcer's business.

use sha2::{Digest, Sha256};

/// A policy, not parsed: that is the enforcer's business.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyText {
    /// Its file.
    pub name: String,
    /// Its text.
    pub text: String,
}

impl PolicyText {
    /// SHA-256, hexadecimal.
    #[must_use]
    pub fn sha256(&self) -> String {
        sha256(&self.text)
    }
}

/// SHA-256 of a text, hexadecimal.
#[must_use]
pub fn sha256(text: &str) -> String {
    Sha256::digest(text)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
