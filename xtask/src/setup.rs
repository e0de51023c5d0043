//! `cargo xtask setup`: installs all that tests and workloads use, on Debian and Ubuntu.

use std::{
    env, fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
};

/// Packages by what they are for. A workload whose programs are missing is ignored; nothing else depends on them.
const PACKAGES: [(&str, &[&str]); 4] = [
    (
        "building and testing",
        &[
            "gcc",
            "libc6-dev",
            "clang-19",
            "llvm-19",
            "util-linux",
            "perl-base",
        ],
    ),
    (
        "the virtual machine",
        &[
            "qemu-system-x86",
            "busybox-static",
            "e2fsprogs",
            "xz-utils",
            "kmod",
        ],
    ),
    (
        "the workloads",
        &[
            "nginx-light",
            "nodejs",
            "postgresql",
            "mariadb-server",
            "g++",
            "make",
            "runc",
            "crun",
            "podman",
            "docker.io",
            "gawk",
            "tar",
            "grep",
            "busybox-static",
        ],
    ),
    ("fetching sources", &["ca-certificates"]),
];

/// Source packages that `build::cpp_make` builds.
const SOURCES: [&str; 2] = ["leveldb", "protobuf"];

/// Keeps packages from starting the services that they bring: the workloads start private ones.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// What was typed.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only the sources, which needs no root
    #[arg(long)]
    sources: bool,
    /// Print what would be installed, and end
    #[arg(long, conflicts_with = "sources")]
    list: bool,
}

/// What stops it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("this is for Debian and Ubuntu: apt-get was not found; install what provides {0}")]
    NoApt(String),
    #[error(
        "not root, which installing packages needs: run it as root, or `cargo xtask setup --sources` for the sources alone"
    )]
    NotRoot,
    #[error("{doing}: {source}")]
    Io { doing: String, source: io::Error },
    #[error("{command}: {status}")]
    Command { command: String, status: ExitStatus },
    #[error(
        "no apt source of {codename} with a `deb` line was found in /etc/apt: add one, so that its sources can be fetched"
    )]
    NoSource { codename: String },
}

/// Installs packages, then unpacks sources.
pub(crate) fn run(args: &Args) -> Result<(), Error> {
    let packages: Vec<&str> = PACKAGES
        .iter()
        .flat_map(|(_, names)| *names)
        .copied()
        .collect();
    if args.list {
        for (what, names) in PACKAGES {
            println!("{what}: {}", names.join(" "));
        }
        println!("sources of: {}", SOURCES.join(" "));
        return Ok(());
    }
    if !Path::new("/usr/bin/apt-get").exists() {
        return Err(Error::NoApt(packages.join(" ")));
    }
    if !args.sources {
        install(&packages)?;
    }
    for package in SOURCES {
        source(package)?;
    }
    Ok(())
}

fn install(packages: &[&str]) -> Result<(), Error> {
    let root =
        fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
    if !root {
        return Err(Error::NotRoot);
    }
    let _services = NoServices::new()?;
    succeed(Command::new("apt-get").args(["update", "-qq"]))?;
    succeed(
        Command::new("apt-get")
            .args(["install", "-y", "-qq", "--no-install-recommends"])
            .args(packages)
            .env("DEBIAN_FRONTEND", "noninteractive"),
    )
}

/// The policy file, unless the machine has one of its own; removed again at the end.
struct NoServices {
    ours: bool,
}

impl NoServices {
    fn new() -> Result<Self, Error> {
        if Path::new(POLICY).exists() {
            return Ok(Self { ours: false });
        }
        fs::write(POLICY, "#!/bin/sh\nexit 101\n").map_err(doing("writing", POLICY))?;
        let executable = fs::Permissions::from_mode(0o755);
        fs::set_permissions(POLICY, executable).map_err(doing("writing", POLICY))?;
        Ok(Self { ours: true })
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.ours {
            let _ = fs::remove_file(POLICY);
        }
    }
}

/// Unpacks a source package where the workloads look for it, if it is not there yet.
fn source(package: &str) -> Result<(), Error> {
    let home = target_directory().join("workload-sources");
    let unpacked = home.join(package);
    if unpacked.is_dir() {
        println!(
            "setup: the sources of {package} are in {}",
            unpacked.display()
        );
        return Ok(());
    }
    let apt = home.join("apt");
    let directories = ["lists/partial", "archives/partial", "sources"].map(|name| apt.join(name));
    for directory in &directories {
        fs::create_dir_all(directory).map_err(doing("making", directory))?;
    }
    write_lists(&apt.join("sources"))?;
    // Lists, caches and sources of its own: nothing of the machine's apt is touched, and no root is needed.
    let option = |name: &str, path: &Path| format!("{name}={}", path.display());
    let options = [
        option("Dir::Etc::SourceList", Path::new("/dev/null")),
        option("Dir::Etc::SourceParts", &apt.join("sources")),
        option("Dir::State::Lists", &apt.join("lists")),
        option("Dir::Cache", &apt),
        "APT::Sandbox::User=".to_owned(),
    ];
    let apt_get = || {
        let mut command = Command::new("apt-get");
        command.current_dir(&apt).arg("-qq");
        for option in &options {
            command.arg("-o").arg(option);
        }
        command
    };
    succeed(apt_get().arg("update"))?;
    succeed(apt_get().args(["source", "--download-only", package]))?;
    unpack(&apt, package, &unpacked)?;
    println!(
        "setup: the sources of {package} are in {}",
        unpacked.display()
    );
    Ok(())
}

/// The upstream archive alone: Debian's changes are about packaging.
fn unpack(apt: &Path, package: &str, unpacked: &Path) -> Result<(), Error> {
    let partly = unpacked.with_extension("partly");
    let _ = fs::remove_dir_all(&partly);
    fs::create_dir_all(&partly).map_err(doing("making", &partly))?;
    let entries = fs::read_dir(apt).map_err(doing("listing", apt))?.flatten();
    let archive = entries.map(|entry| entry.path()).find(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(&format!("{package}_"))
            && name.contains(".orig.tar.")
            && !name.ends_with(".asc")
    });
    let archive = archive.ok_or_else(|| Error::Io {
        doing: format!("looking for the archive of {package} in {}", apt.display()),
        source: io::ErrorKind::NotFound.into(),
    })?;
    succeed(
        Command::new("tar")
            .args(["--strip-components=1", "-C"])
            .arg(&partly)
            .arg("-xf")
            .arg(archive),
    )?;
    // Whole or not at all.
    fs::rename(&partly, unpacked).map_err(doing("moving", &partly))
}

/// The machine's own apt sources of its release, turned to source packages: both the one-line and the field format.
fn write_lists(directory: &Path) -> Result<(), Error> {
    let codename = codename();
    let mut found = false;
    for (number, path) in apt_files().into_iter().enumerate() {
        let text = fs::read_to_string(&path).map_err(doing("reading", &path))?;
        let ending = path
            .extension()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let converted = match &*ending {
            "sources" => fields(&text, &codename),
            _ => lines(&text, &codename),
        };
        if let Some(converted) = converted {
            let target = directory.join(format!("{number}.{ending}"));
            fs::write(&target, converted).map_err(doing("writing", &target))?;
            found = true;
        }
    }
    if found {
        Ok(())
    } else {
        Err(Error::NoSource { codename })
    }
}

fn apt_files() -> Vec<PathBuf> {
    let parts = fs::read_dir("/etc/apt/sources.list.d")
        .into_iter()
        .flatten()
        .flatten();
    let mut files: Vec<PathBuf> = parts
        .map(|entry| entry.path())
        .filter(|path| {
            path.extension()
                .is_some_and(|end| end == "list" || end == "sources")
        })
        .chain(
            [PathBuf::from("/etc/apt/sources.list")]
                .into_iter()
                .filter(|path| path.is_file()),
        )
        .collect();
    files.sort();
    files
}

fn codename() -> String {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    name.unwrap_or("stable").trim_matches('"').to_owned()
}

/// The stanzas of a `.sources` file that are for this release, as source packages; none if there is no such stanza.
fn fields(text: &str, codename: &str) -> Option<String> {
    let stanzas = text.split("\n\n").filter(|stanza| {
        let mut suites = stanza
            .lines()
            .filter_map(|line| line.strip_prefix("Suites:"));
        suites.any(|suites| {
            suites
                .split_whitespace()
                .any(|suite| suite.starts_with(codename))
        })
    });
    let converted: Vec<String> = stanzas
        .map(|stanza| {
            let lines = stanza
                .lines()
                .map(|line| match line.strip_prefix("Types:") {
                    Some(_) => "Types: deb-src",
                    None => line,
                });
            lines.collect::<Vec<_>>().join("\n")
        })
        .collect();
    (!converted.is_empty()).then(|| converted.join("\n\n") + "\n")
}

/// The `deb` lines of a `.list` file that are for this release, as `deb-src` lines; none if there is no such line.
fn lines(text: &str, codename: &str) -> Option<String> {
    let lines: Vec<String> = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("deb "))
        .filter(|rest| {
            rest.split_whitespace()
                .any(|word| word.starts_with(codename))
        })
        .map(|rest| format!("deb-src {rest}"))
        .collect();
    (!lines.is_empty()).then(|| lines.join("\n") + "\n")
}

/// Cargo's target directory: the one that this program was built in.
fn target_directory() -> PathBuf {
    let program = env::current_exe().unwrap_or_default();
    let found = program
        .ancestors()
        .find(|path| path.join("CACHEDIR.TAG").exists());
    found.unwrap_or(Path::new("target")).to_owned()
}

fn doing(what: &str, path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Error {
    let doing = format!("{what} {}", path.as_ref().display());
    move |source| Error::Io { doing, source }
}

fn succeed(command: &mut Command) -> Result<(), Error> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command.status().map_err(doing("starting", &program))?;
    if status.success() {
        return Ok(());
    }
    let words = command.get_args().map(|word| word.to_string_lossy());
    let command = [program.into()]
        .into_iter()
        .chain(words)
        .collect::<Vec<_>>()
        .join(" ");
    Err(Error::Command { command, status })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stanzas_of_other_releases_and_of_strangers_are_left_out() {
        let text = "Types: deb\nURIs: mirror://a\nSuites: bookworm bookworm-updates\nComponents: main\n\n\
            Types: deb\nURIs: mirror://b\nSuites: nodistro\nComponents: main\n";
        let converted = fields(text, "bookworm").unwrap();
        assert_eq!(
            converted,
            "Types: deb-src\nURIs: mirror://a\nSuites: bookworm bookworm-updates\nComponents: main\n"
        );
        assert_eq!(fields(text, "trixie"), None);
    }

    #[test]
    fn lines_keep_their_options_and_comments_are_no_lines() {
        let text = "# deb mirror://a bookworm main\ndeb [arch=amd64] mirror://a bookworm main\ndeb mirror://b sdk main\n";
        assert_eq!(
            lines(text, "bookworm").unwrap(),
            "deb-src [arch=amd64] mirror://a bookworm main\n"
        );
        assert_eq!(lines(text, "noble"), None);
    }
}
