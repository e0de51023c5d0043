//! A file that the policy under test denies, and nothing but the treatment check touches.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

/// The denied file.
#[derive(Debug, Clone)]
pub struct Canary(PathBuf);

impl Canary {
    /// Makes it in a directory.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn new(directory: &Path) -> io::Result<Self> {
        let path = directory.join("canary");
        fs::write(&path, "only the treatment check opens this file\n")?;
        // A rule is for the file's own path; a link on the way would only earn a warning.
        path.canonicalize().map(Self)
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The policy under test: the given one, and a rule for this file.
    #[must_use]
    pub fn deny_in(&self, policy: &str) -> String {
        format!("{policy}\n[deny_path]\n{}\n", self.0.display())
    }

    /// Opens it for reading, once. Being refused is what an enforcing policy is for, and no error.
    ///
    /// # Errors
    /// If it cannot be opened for another reason.
    pub fn touch(&self) -> io::Result<()> {
        match File::open(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::PermissionDenied => Err(io::Error::new(
                error.kind(),
                format!("opening the canary {}: {error}", self.0.display()),
            )),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_under_test_keeps_its_rules_and_denies_the_canary() {
        let scratch = tempfile::tempdir().unwrap();
        let canary = Canary::new(scratch.path()).unwrap();
        let policy = canary.deny_in("version=1\n[deny_path]\n/etc/shadow");
        let lines: Vec<&str> = policy.lines().collect();
        assert_eq!(
            lines[..4],
            ["version=1", "[deny_path]", "/etc/shadow", "[deny_path]"]
        );
        assert!(lines[4].ends_with("/canary"));
    }

    #[test]
    fn a_canary_that_is_gone_is_an_error() {
        let scratch = tempfile::tempdir().unwrap();
        let canary = Canary::new(scratch.path()).unwrap();
        canary.touch().unwrap();
        fs::remove_file(&canary.0).unwrap();
        assert!(
            canary
                .touch()
                .unwrap_err()
                .to_string()
                .contains("opening the canary")
        );
    }
}
