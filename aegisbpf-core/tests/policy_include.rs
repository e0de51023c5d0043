//! `[include]`: other files and directories of them, circles, and files that are not trusted.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use aegisbpf_core::policy::{Problems, Rule};
use aegisbpf_core::{Policy, PolicyFileError};
use tempfile::TempDir;

/// A directory with policy files that only we may write.
struct Files(TempDir);

impl Files {
    fn new(files: &[(&str, &str)]) -> Self {
        let dir = Self(tempfile::tempdir().unwrap());
        for (name, text) in files {
            dir.write(name, text);
        }
        dir
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        let dir = path.parent().unwrap();
        fs::create_dir_all(dir).unwrap();
        fs::set_permissions(dir, Permissions::from_mode(0o755)).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    }

    #[track_caller]
    fn read(&self) -> Policy {
        Policy::from_path(self.path("main.conf")).unwrap_or_else(|error| panic!("{error}"))
    }

    #[track_caller]
    fn refused(&self) -> Problems {
        match Policy::from_path(self.path("main.conf")).unwrap_err() {
            PolicyFileError::Invalid(problems) => problems,
            other => panic!("{other}"),
        }
    }

    /// A text without the name of the directory.
    fn plain(&self, text: &impl ToString) -> String {
        text.to_string()
            .replace(self.0.path().to_str().unwrap(), "DIR")
    }
}

fn labels(policy: &Policy) -> Vec<String> {
    policy.rules().iter().map(Rule::label).collect()
}

#[test]
fn a_file_is_read_in_the_place_of_the_line_and_origins_keep_their_file() {
    let files = Files::new(&[
        (
            "main.conf",
            "version=7\n[deny_path]\n/a\n[include]\nsub/more.conf\n[deny_path]\n/c\n",
        ),
        (
            "sub/more.conf",
            "version=7\n[deny_path]\n/b # bee\n[include]\nlast.conf\n",
        ),
        ("sub/last.conf", "version=1\n[deny_inode]\n1:2\n"),
    ]);
    let policy = files.read();
    assert_eq!(
        labels(&policy),
        [
            "main.conf:3 /a",
            "more.conf:3 /b # bee",
            "last.conf:3 1:2",
            "main.conf:7 /c"
        ]
    );
    assert_eq!(
        &*policy.rules()[1].origin.source,
        files.path("sub/more.conf").to_str().unwrap()
    );
    assert_eq!(policy.warnings().to_string(), "");
    // The canonical text includes nothing: it is the policy as it was read.
    assert_eq!(policy.to_string().parse(), Ok(policy));
}

#[test]
fn of_a_directory_the_files_that_end_in_conf_are_read_sorted() {
    let files = Files::new(&[
        ("main.conf", "version=7\n[include]\nconf.d\n"),
        ("conf.d/20-b.conf", "version=7\n[deny_path]\n/b\n"),
        ("conf.d/10-a.conf", "version=7\n[deny_path]\n/a\n"),
        ("conf.d/30-c.conf.bak", "no policy"),
        ("conf.d/.hidden.conf", "no policy"),
        ("conf.d/README", "no policy"),
    ]);
    assert_eq!(labels(&files.read()), ["10-a.conf:3 /a", "20-b.conf:3 /b"]);
}

#[test]
fn a_directory_without_files_is_a_warning() {
    let files = Files::new(&[
        ("main.conf", "version=7\n[include]\nconf.d\n"),
        ("conf.d/README", ""),
    ]);
    let policy = files.read();
    insta::assert_snapshot!(files.plain(policy.warnings()));
}

#[test]
fn a_circle_is_an_error_and_names_the_way() {
    let files = Files::new(&[
        ("main.conf", "version=7\n[include]\na.conf\n"),
        ("a.conf", "version=7\n[include]\nb.conf\n"),
        ("b.conf", "version=7\n[include]\n./../NAME/main.conf\n"),
    ]);
    let name = files.0.path().file_name().unwrap().to_str().unwrap();
    files.write(
        "b.conf",
        &format!("version=7\n[include]\n../{name}/main.conf\n"),
    );
    insta::assert_snapshot!(files.plain(&files.refused()).replace(name, "NAME"));
    // A link does not hide it.
    symlink(files.path("main.conf"), files.path("link.conf")).unwrap();
    files.write("b.conf", "version=7\n[include]\nlink.conf\n");
    assert!(files.refused().to_string().contains("in a circle"));
}

#[test]
fn a_file_that_includes_itself_is_an_error() {
    let files = Files::new(&[("main.conf", "version=7\n[include]\nmain.conf\n")]);
    assert!(files.refused().to_string().contains("in a circle"));
}

#[test]
fn a_file_that_is_included_twice_counts_once() {
    let files = Files::new(&[
        (
            "main.conf",
            "version=7\n[include]\na.conf\nb.conf\na.conf\n",
        ),
        ("a.conf", "version=7\n[deny_path]\n/a\n"),
        ("b.conf", "version=7\n[include]\na.conf\n[deny_path]\n/a/\n"),
    ]);
    let policy = files.read();
    assert_eq!(labels(&policy), ["a.conf:3 /a"]);
    insta::assert_snapshot!(files.plain(policy.warnings()));
}

#[test]
fn all_problems_of_all_files_are_reported() {
    let files = Files::new(&[
        (
            "main.conf",
            "version=7\n[deny_path]\nx\n[include]\na.conf\nnone.conf\nlatin.conf\nold.conf\n",
        ),
        ("a.conf", "[deny_path]\ny\n"),
        (
            "old.conf",
            "version=6\n[deny_path]\n/a # b\n[deny_dir]\n/c\n[include]\na.conf\n",
        ),
    ]);
    fs::write(files.path("latin.conf"), b"version=1\n# \xe4\n").unwrap();
    fs::set_permissions(files.path("latin.conf"), Permissions::from_mode(0o644)).unwrap();
    insta::assert_snapshot!(files.plain(&files.refused()));
}

#[test]
fn a_file_or_directory_that_others_may_write_is_not_included() {
    let files = Files::new(&[
        ("main.conf", "version=7\n[include]\na.conf\nconf.d\n"),
        ("a.conf", "version=7\n"),
        ("conf.d/b.conf", "version=7\n"),
    ]);
    assert_eq!(files.read().warnings().to_string(), "");
    let open = |path: &Path| fs::set_permissions(path, Permissions::from_mode(0o777)).unwrap();
    open(&files.path("a.conf"));
    open(&files.path("conf.d"));
    let problems = files.plain(&files.refused());
    assert!(problems.contains("chmod go-w DIR/a.conf"), "{problems}");
    assert!(problems.contains("chmod go-w DIR/conf.d`"), "{problems}");
}

#[test]
fn files_include_files_to_a_bounded_depth() {
    let files = Files::new(&[]);
    let chain = |length: usize| {
        for n in 0..length {
            files.write(
                &format!("{n}.conf"),
                &format!("version=7\n[include]\n{}.conf\n", n + 1),
            );
        }
        files.write(&format!("{length}.conf"), "version=7\n[deny_path]\n/end\n");
        files.write("main.conf", "version=7\n[include]\n0.conf\n");
    };
    chain(15);
    assert_eq!(labels(&files.read()), ["15.conf:3 /end"]);
    chain(16);
    assert!(files.refused().to_string().contains("in a row"));
}

#[test]
fn a_checksum_covers_no_included_file() {
    let files = Files::new(&[
        ("main.conf", "version=7\n[include]\na.conf\n"),
        ("a.conf", "version=7\n"),
    ]);
    // `printf 'version=7\n[include]\na.conf\n' | sha256sum`
    let sum = "sha256:621196917253fa7df7846832d297dd5868e88ad0e9373ac3c2506b1db77276b0"
        .parse()
        .unwrap();
    let error = Policy::from_path_with_sha256(files.path("main.conf"), sum).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("the checksum covers the first file alone"),
        "{error}"
    );
}
