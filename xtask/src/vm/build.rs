//! Have cargo build what is to run inside, and learn from its messages where it is.
//!
//! A single target is asked for out of the whole workspace: asked for its package alone, cargo would leave out features that
//! only others need of a dependency, and so build half of the dependencies a second time for each package.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::str::FromStr;

use serde::Deserialize;

use super::error::{Attempt, Error, Result};

/// `PACKAGE[:TEST_TARGET]`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Test {
    package: String,
    target: Option<String>,
}

impl FromStr for Test {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        let (package, target) = match text.split_once(':') {
            Some((package, target)) => (package, Some(target.to_owned())),
            None => (text, None),
        };
        Ok(Self {
            package: package.to_owned(),
            target,
        })
    }
}

/// `PACKAGE:NAME`.
#[derive(Clone, Debug)]
pub(crate) struct Binary {
    package: String,
    pub(crate) name: String,
}

impl FromStr for Binary {
    type Err = &'static str;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        let (package, name) = text.split_once(':').ok_or("expected PACKAGE:NAME")?;
        Ok(Self {
            package: package.to_owned(),
            name: name.to_owned(),
        })
    }
}

/// Programs that cargo built.
#[derive(Debug, Default)]
pub(crate) struct Built {
    /// Test programs, in cargo's order.
    pub(crate) tests: Vec<PathBuf>,
    /// Plain programs: a test names its package's own by `CARGO_BIN_EXE_*`.
    pub(crate) binaries: Vec<PathBuf>,
    /// Where `cargo test` would run them: the package's directory.
    pub(crate) directory: PathBuf,
}

impl Test {
    pub(crate) fn build(&self, release: bool) -> Result<Built> {
        let target = match self.target.as_deref() {
            None => vec!["--package", &self.package],
            Some("lib") => vec!["--package", &self.package, "--lib"],
            Some(name) => vec!["--workspace", "--test", name],
        };
        let arguments = [&["test", "--no-run"], &*target].concat();
        let built = cargo(&arguments, &self.package, release)?;
        if built.tests.is_empty() {
            return Err(Error::NotBuilt {
                wanted: "test program".into(),
                package: self.package.clone(),
            });
        }
        Ok(built)
    }
}

impl Binary {
    pub(crate) fn new(package: &str, name: &str) -> Self {
        Self {
            package: package.to_owned(),
            name: name.to_owned(),
        }
    }

    pub(crate) fn build(&self, release: bool) -> Result<PathBuf> {
        let arguments = ["build", "--workspace", "--bin", &self.name];
        let built = cargo(&arguments, &self.package, release)?;
        let found = built
            .binaries
            .into_iter()
            .find(|path| path.file_name().is_some_and(|name| *name == *self.name));
        found.ok_or_else(|| Error::NotBuilt {
            wanted: format!("program {}", self.name),
            package: self.package.clone(),
        })
    }
}

/// Builds what cargo calls an example, optimised.
pub(crate) fn example(package: &str, name: &str) -> Result<PathBuf> {
    let arguments = ["build", "--workspace", "--example", name];
    let built = cargo(&arguments, package, true)?;
    built
        .binaries
        .into_iter()
        .next()
        .ok_or_else(|| Error::NotBuilt {
            wanted: format!("example {name}"),
            package: package.to_owned(),
        })
}

/// The part that we read of a line of `--message-format=json`.
#[derive(Deserialize)]
struct Message {
    reason: String,
    package_id: Option<String>,
    executable: Option<PathBuf>,
    manifest_path: Option<PathBuf>,
    profile: Option<Profile>,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

/// The programs of `package` among what is built.
fn cargo(arguments: &[&str], package: &str, release: bool) -> Result<Built> {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(&program);
    command
        .args(arguments)
        .args(release.then_some("--release"))
        .arg("--message-format=json-render-diagnostics")
        .stderr(Stdio::inherit());
    let output = command.output().attempt("starting", &program)?;
    if !output.status.success() {
        return Err(Error::Command {
            command: format!("cargo {}", arguments.join(" ")),
            status: output.status,
            stderr: String::new(), // shown already
        });
    }
    read(&String::from_utf8_lossy(&output.stdout), package)
}

fn read(messages: &str, package: &str) -> Result<Built> {
    let mut built = Built::default();
    for line in messages.lines().filter(|line| line.starts_with('{')) {
        let message: Message = serde_json::from_str(line).map_err(Error::CargoMessage)?;
        let Some(executable) = message.executable else {
            continue;
        };
        let is_ours = message
            .package_id
            .is_some_and(|id| package_name(&id) == package);
        if message.reason != "compiler-artifact" || !is_ours {
            continue;
        }
        if let Some(directory) = message
            .manifest_path
            .as_ref()
            .and_then(|path| path.parent())
        {
            built.directory = directory.to_owned();
        }
        if message.profile.is_some_and(|profile| profile.test) {
            built.tests.push(executable);
        } else {
            built.binaries.push(executable);
        }
    }
    Ok(built)
}

/// Out of `path+file:///directory#name@version`, where the name is left out if it is the directory's.
fn package_name(id: &str) -> &str {
    let (path, version) = id.rsplit_once('#').unwrap_or(("", id));
    match version.split_once('@') {
        Some((name, _)) => name,
        None => path.rsplit('/').next().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_and_programs_are_told_apart() {
        let messages = r#"
{"reason":"compiler-artifact","package_id":"path+file:///w/p#0.1.0","manifest_path":"/w/p/Cargo.toml","profile":{"test":false},"executable":null}
{"reason":"compiler-artifact","package_id":"path+file:///w/p#0.1.0","manifest_path":"/w/p/Cargo.toml","profile":{"test":false},"executable":"/t/p"}
{"reason":"compiler-artifact","package_id":"path+file:///w/p#0.1.0","manifest_path":"/w/p/Cargo.toml","profile":{"test":true},"executable":"/t/deps/x-1"}
{"reason":"compiler-artifact","package_id":"path+file:///w/q#0.1.0","manifest_path":"/w/q/Cargo.toml","profile":{"test":true},"executable":"/t/deps/x-2"}
{"reason":"build-finished","success":true}
"#;
        let built = read(messages, "p").unwrap();
        assert_eq!(built.tests, [PathBuf::from("/t/deps/x-1")]);
        assert_eq!(built.binaries, [PathBuf::from("/t/p")]);
        assert_eq!(built.directory, PathBuf::from("/w/p"));
    }

    #[test]
    fn a_package_is_named_with_its_version_or_by_its_directory() {
        assert_eq!(package_name("path+file:///w/x#p@0.1.0"), "p");
        assert_eq!(package_name("path+file:///w/p#0.1.0"), "p");
        assert_eq!(package_name("registry+https://index#aya@0.14.0"), "aya");
    }

    #[test]
    fn a_test_may_name_its_target() {
        let parse = |text: &str| text.parse::<Test>().unwrap();
        assert_eq!(parse("core").target, None);
        assert_eq!(parse("core:enforce").target.as_deref(), Some("enforce"));
    }

    #[test]
    fn a_binary_must_name_its_package() {
        assert!("aegisbpf".parse::<Binary>().is_err());
    }
}
