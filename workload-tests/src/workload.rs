//! What every workload is: a name, what it needs, and how a session of it is prepared.

use std::{
    env, fmt, fs,
    path::{Path, PathBuf},
    process::Command,
};

use aegisbpf_measure::workload::{BoxError, Session};
use aegisbpf_rig::cgroup::Cgroup;
use nix::unistd::Uid;

use crate::workloads::rootfs;

/// Environment variable that names another directory of sources.
pub const SOURCES_VARIABLE: &str = "AEGIS_SOURCES";

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
    fn prepare(&self, scratch: &Path) -> Result<Prepared, BoxError>;
}

/// A workload that is ready to run.
pub struct Prepared {
    /// What the engine runs.
    pub session: Box<dyn Session>,
    /// Files that a small share of the operations opens, one in a hundred or so. The variant in which the policy
    /// hits has rules for them.
    pub sensitive: Vec<PathBuf>,
}

impl Prepared {
    /// Of a session and the files that it opens now and then.
    #[must_use]
    pub fn new(session: impl Session + 'static, sensitive: Vec<PathBuf>) -> Self {
        Self {
            session: Box::new(session),
            sensitive,
        }
    }
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared")
            .field("sensitive", &self.sensitive)
            .finish_non_exhaustive()
    }
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
    /// A program where only its Debian package has it, and the package.
    Packaged {
        /// The program's path, in which `*` stands for a version.
        path: &'static str,
        /// Debian package.
        package: &'static str,
    },
    /// Any of these programs.
    AnyProgram {
        /// File names.
        names: &'static [&'static str],
        /// Debian packages, as the message has them.
        packages: &'static str,
    },
    /// A busybox that needs no libraries: the image of containers.
    StaticBusybox,
    /// A cgroup2 directory that we may write to.
    Cgroup,
    /// The sources of a Debian package, unpacked by `cargo xtask setup`.
    Sources {
        /// Debian's name of the source package.
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
            Self::Packaged { path, .. } => find_packaged(path).is_some(),
            Self::AnyProgram { names, .. } => names.iter().any(|name| find_program(name).is_some()),
            Self::StaticBusybox => rootfs::busybox().is_some(),
            Self::Cgroup => Cgroup::new("probe").is_ok(),
            Self::Sources { package } => sources(package).is_some(),
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
            Self::Packaged { path, package } => write!(f, "{path} not found: apt-get install {package}"),
            Self::AnyProgram { names, packages } => write!(f, "none of {} found: apt-get install {packages}", names.join(", ")),
            Self::StaticBusybox => f.write_str("a static busybox not found: apt-get install busybox-static"),
            Self::Cgroup => f.write_str("no cgroup2 directory to write to: run as root, with a cgroup2 file system mounted (mount -t cgroup2 none /sys/fs/cgroup/unified)"),
            Self::Sources { package } => write!(f, "the sources of {package} not found: cargo xtask setup"),
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

/// Finds a program by a path in which one component may be `*`, for a version; the newest of them.
#[must_use]
pub fn find_packaged(path: &str) -> Option<PathBuf> {
    let Some((before, after)) = path.split_once("*/") else {
        return Some(PathBuf::from(path)).filter(|program| program.is_file());
    };
    let version = |directory: &PathBuf| -> Option<u64> {
        let name = directory.file_name()?.to_str()?;
        name.split('.').next()?.parse().ok()
    };
    let versions = fs::read_dir(before).into_iter().flatten().flatten();
    versions
        .map(|entry| entry.path())
        .filter(|directory| directory.join(after).is_file())
        .max_by_key(version)
        .map(|directory| directory.join(after))
}

/// Where `cargo xtask setup` puts the sources of Debian packages: `workload-sources` in cargo's target directory.
#[must_use]
pub fn sources(package: &str) -> Option<PathBuf> {
    let directory = env::var_os(SOURCES_VARIABLE)
        .map(PathBuf::from)
        .or_else(|| target_directory().map(|target| target.join("workload-sources")))?
        .join(package);
    directory.is_dir().then_some(directory)
}

/// The target directory that this program was built in.
#[must_use]
pub fn target_directory() -> Option<PathBuf> {
    let program = env::current_exe().ok()?;
    let built_by_cargo = program
        .ancestors()
        .find(|directory| directory.join("CACHEDIR.TAG").exists())?;
    Some(built_by_cargo.to_owned())
}

/// What a program says of its version, in one line; that it is absent, if it is.
#[must_use]
pub fn version(program: Option<PathBuf>, argument: &str) -> String {
    let Some(program) = program else {
        return "absent".to_owned();
    };
    let output = Command::new(program).arg(argument).output();
    let text = output.map_or_else(
        |error| error.to_string(),
        // nginx and node disagree about where it belongs.
        |output| String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(),
    );
    text.lines().next().unwrap_or("unknown").trim().to_owned()
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
    fn the_newest_version_of_a_packaged_program_is_found() {
        let root = tempfile::tempdir().unwrap();
        let path = format!("{}/*/bin/server", root.path().display());
        assert_eq!(find_packaged(&path), None);
        for version in ["9.6", "15", "13"] {
            fs::create_dir_all(root.path().join(version).join("bin")).unwrap();
            fs::write(root.path().join(version).join("bin/server"), "").unwrap();
        }
        fs::create_dir(root.path().join("17")).unwrap();
        assert_eq!(
            find_packaged(&path),
            Some(root.path().join("15/bin/server"))
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
