//! What every workload is: a name, what it needs, and how a session of it is prepared.

use std::{
    env, fmt,
    path::{Path, PathBuf},
};

use aegisbpf_measure::workload::{BoxError, Session};
use nix::unistd::Uid;

/// One workload. Making the value starts nothing; [`Workload::prepare`] does.
pub trait Workload: Send + Sync {
    /// Its name, as the test, the report and the thresholds file have it: `web::nginx_static`.
    fn name(&self) -> &'static str;

    /// All that shapes the load (sizes, counts, versions): two records are comparable only if this is equal.
    fn configuration(&self) -> String;

    /// What the machine must have.
    fn requires(&self) -> &'static [Requirement];

    /// Makes data, starts servers. Dropping the session stops and removes them.
    ///
    /// # Errors
    /// If the data cannot be written or a server does not come up.
    fn prepare(&self, scratch: &Path) -> Result<Box<dyn Session>, BoxError>;
}

/// Something that a machine has or lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requirement {
    /// A program on `PATH` or in a system directory, and the Debian package that brings it.
    Program {
        /// File name of the program.
        name: &'static str,
        /// Debian package.
        package: &'static str,
    },
    /// Root: loading BPF programs needs it.
    Root,
    /// A kernel that describes its own types, which CO-RE programs need.
    Btf,
}

impl Requirement {
    /// Whether this machine has it.
    #[must_use]
    pub fn is_met(&self) -> bool {
        match self {
            Self::Program { name, .. } => find_program(name).is_some(),
            Self::Root => Uid::effective().is_root(),
            Self::Btf => Path::new("/sys/kernel/btf/vmlinux").exists(),
        }
    }
}

/// What is missing, and what to do about it.
impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Program { name, package } => write!(f, "{name} not found: apt-get install {package}"),
            Self::Root => f.write_str("not root: loading BPF programs needs it; run as root, for example with sudo -E"),
            Self::Btf => f.write_str("/sys/kernel/btf/vmlinux not found: boot a kernel built with CONFIG_DEBUG_INFO_BTF=y"),
        }
    }
}

/// The requirements that are not met.
#[must_use]
pub fn missing(requirements: &[Requirement]) -> Vec<Requirement> {
    requirements
        .iter()
        .copied()
        .filter(|requirement| !requirement.is_met())
        .collect()
}

/// Finds a program on `PATH`, or where servers live but users' paths do not lead.
#[must_use]
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    env::split_paths(&path)
        .chain(system)
        .map(|directory| directory.join(name))
        .find(|program| program.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_names_the_command_that_installs_it() {
        let absent = Requirement::Program {
            name: "no-such-server",
            package: "no-such-server-light",
        };
        assert_eq!(missing(&[absent]), [absent]);
        assert_eq!(
            absent.to_string(),
            "no-such-server not found: apt-get install no-such-server-light"
        );
    }

    #[test]
    fn a_present_program_is_not_missing() {
        assert_eq!(
            missing(&[Requirement::Program {
                name: "sh",
                package: "dash"
            }]),
            []
        );
    }
}
