//! A policy meets a host: what its paths and cgroups are there, and which files are trusted with one.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use aegisbpf_core::cgroup::CgroupTree;
use aegisbpf_core::file_id::FileId;
use aegisbpf_core::policy::{Effect, Subject};
use aegisbpf_core::resolve::{Reason, Resolution, Resolved, resolve};
use aegisbpf_core::{Policy, PolicyFileError};
use nix::sys::stat::Mode;
use nix::unistd::{Uid, chown, mkfifo};
use tempfile::TempDir;

fn scratch() -> TempDir {
    tempfile::tempdir().expect("a scratch directory")
}

#[track_caller]
fn policy(section: &str, entry: impl std::fmt::Display) -> Policy {
    Policy::parse(&format!("version=1\n[{section}]\n{entry}\n"), "t").expect("a valid policy")
}

#[track_caller]
fn deny_path(path: &Path) -> Resolution {
    resolve(&policy("deny_path", path.display())).expect("no directory")
}

fn policy_of_7(section: &str, entry: impl std::fmt::Display) -> Policy {
    Policy::parse(&format!("version=7\n[{section}]\n{entry}\n"), "t").unwrap()
}

fn identity(path: &Path) -> Resolved {
    let meta = fs::metadata(path).expect("the test made it");
    Resolved::File(FileId::from_stat(meta.dev(), meta.ino()))
}

/// What the policy's only rule stands for.
#[track_caller]
fn only(resolution: &Resolution) -> Resolved {
    assert_eq!(resolution.iter().len(), 1);
    resolution
        .iter()
        .next()
        .expect("one, says the line above")
        .1
        .clone()
}

/// The temporary directory may itself be behind a link, of which other tests should not hear.
fn real(dir: &TempDir) -> std::path::PathBuf {
    dir.path().canonicalize().expect("it exists")
}

#[test]
fn a_file_is_its_device_and_inode() {
    let dir = scratch();
    let (file, other) = (real(&dir).join("file"), real(&dir).join("other"));
    fs::write(&file, "").unwrap();
    fs::hard_link(&file, &other).unwrap();
    assert_eq!(only(&deny_path(&file)), identity(&file));
    assert_eq!(only(&deny_path(&other)), identity(&file));
}

#[test]
fn a_missing_file_is_unresolved() {
    let dir = scratch();
    fs::write(dir.path().join("file"), "").unwrap();
    for missing in ["none", "none/below", "file/below"] {
        let resolution = deny_path(&real(&dir).join(missing));
        assert_eq!(
            only(&resolution),
            Resolved::Unresolved(Reason::NoSuchFile),
            "{missing}"
        );
        assert_eq!(resolution.unresolved().count(), 1);
        assert_eq!(resolution.files().count(), 0);
    }
}

#[test]
fn a_symbolic_link_denies_its_target_with_a_warning() {
    let dir = scratch();
    let real = real(&dir);
    fs::create_dir(real.join("dir")).unwrap();
    fs::write(real.join("dir/file"), "").unwrap();
    symlink("dir/file", real.join("link")).unwrap();
    symlink("dir", real.join("way")).unwrap();
    for path in ["link", "way/file"] {
        let resolution = deny_path(&real.join(path));
        assert_eq!(only(&resolution), identity(&real.join("dir/file")));
        let warning = resolution.warnings().to_string();
        assert!(
            warning.contains("leads through the symbolic link"),
            "{warning}"
        );
        assert!(
            warning.contains(&real.join("dir/file").display().to_string()),
            "{warning}"
        );
    }
}

#[test]
fn a_dangling_link_is_unresolved_and_named() {
    let dir = scratch();
    let link = real(&dir).join("link");
    symlink("none", &link).unwrap();
    assert_eq!(
        only(&deny_path(&link)),
        Resolved::Unresolved(Reason::DanglingLink { link })
    );
}

#[test]
fn a_directory_refuses_the_policy_and_names_the_rule() {
    let dir = scratch();
    let file = real(&dir).join("file");
    fs::write(&file, "").unwrap();
    let text = format!(
        "version=1\n[deny_path]\n{}\n{}\n",
        file.display(),
        real(&dir).display()
    );
    let problems = resolve(&Policy::parse(&text, "t").unwrap()).unwrap_err();
    assert_eq!(problems.len(), 1);
    let problem = problems.iter().next().unwrap();
    assert_eq!(
        (problem.origin.line, problem.length as usize),
        (4, real(&dir).to_str().unwrap().len())
    );
    assert!(problem.message.contains("is a directory"), "{problem}");
    assert!(
        problem.remedy.as_ref().unwrap().contains("[deny_dir]"),
        "{problem}"
    );
}

#[test]
fn a_file_refuses_a_rule_about_a_directory_and_names_the_other() {
    let dir = scratch();
    let file = real(&dir).join("file");
    fs::write(&file, "").unwrap();
    let problems = resolve(&policy_of_7("deny_dir", file.display())).unwrap_err();
    let problem = problems.iter().next().unwrap();
    assert!(problem.message.contains("is no directory"), "{problem}");
    assert!(
        problem.remedy.as_ref().unwrap().contains("[deny_path]"),
        "{problem}"
    );
    let exe = std::env::current_exe().unwrap();
    let exception = format!("{} {}/", exe.display(), file.display());
    let problems = resolve(&policy_of_7("allow_exec", exception)).unwrap_err();
    assert!(
        problems
            .iter()
            .next()
            .unwrap()
            .message
            .contains("is no directory")
    );
}

#[test]
fn a_directory_is_looked_up_and_its_name_watched_also_before_it_is_there() {
    let dir = scratch();
    let (there, missing) = (real(&dir).join("there"), real(&dir).join("missing"));
    fs::create_dir(&there).unwrap();
    for (path, expected) in [
        (&there, identity(&there)),
        (&missing, Resolved::Unresolved(Reason::NoSuchFile)),
    ] {
        let policy = policy_of_7("deny_dir", path.display());
        let resolution = resolve(&policy).unwrap();
        assert_eq!(only(&resolution), expected);
        let (id, _) = policy.iter().next().unwrap();
        let name = resolution.follow(id).unwrap().name.clone().unwrap();
        assert_eq!(name.name, path.file_name().unwrap().as_encoded_bytes());
    }
    // With a slash or without: an exception for a directory is one for all below it.
    let exe = std::env::current_exe().unwrap();
    for slash in ["", "/"] {
        let exception = format!("{} {}{slash}", exe.display(), there.display());
        let resolution = resolve(&policy_of_7("allow_exec", exception)).unwrap();
        assert!(matches!(only(&resolution), Resolved::ExceptionBelow { .. }));
    }
}

#[test]
fn looking_a_file_up_does_not_open_it() {
    let dir = scratch();
    let pipe = real(&dir).join("pipe");
    mkfifo(&pipe, Mode::from_bits_truncate(0o600)).unwrap();
    // An open of a pipe that nobody writes to would wait for ever.
    assert_eq!(only(&deny_path(&pipe)), identity(&pipe));
}

#[test]
fn an_inode_in_stat_s_encoding_gets_the_right_spelling() {
    // A real disk's device number differs between the encodings; an anonymous one (0:n, n < 256) does not.
    let meta = fs::metadata("/").unwrap();
    let id = FileId::from_stat(meta.dev(), meta.ino());
    let resolution = resolve(&policy("deny_inode", id)).unwrap();
    assert_eq!(only(&resolution), Resolved::File(id));
    if u64::from(id.dev) == id.st_dev() {
        return;
    }
    let resolution = resolve(&policy(
        "deny_inode",
        format!("{}:{}", meta.dev(), meta.ino()),
    ))
    .unwrap();
    let warning = resolution.warnings().iter().next().expect("a warning");
    assert_eq!(warning.remedy, Some(format!("write `{id}`")));
}

#[test]
fn an_inode_of_no_mounted_device_is_kept_with_a_warning() {
    let id = FileId::from_parts(4095, 1_048_575, 1);
    let resolution = resolve(&policy("deny_inode", id)).unwrap();
    assert_eq!(only(&resolution), Resolved::File(id));
    assert!(
        resolution
            .warnings()
            .to_string()
            .contains("no mounted file system has the device")
    );
}

#[test]
fn a_cgroup_is_its_id_or_says_why_not() {
    let root = resolve(&policy("allow_cgroup", "/")).unwrap();
    let none = resolve(&policy("allow_cgroup", "/no/such.service")).unwrap();
    match CgroupTree::find() {
        Ok(tree) => {
            assert_eq!(
                only(&root),
                Resolved::Cgroup(fs::metadata(tree.root()).unwrap().ino())
            );
            assert_eq!(root.cgroups().count(), 1);
            let path = tree.root().join("no/such.service");
            assert_eq!(
                only(&none),
                Resolved::Unresolved(Reason::NoSuchCgroup { path })
            );
        }
        Err(_) => assert_eq!(only(&none), Resolved::Unresolved(Reason::NoCgroup2)),
    }
}

#[test]
fn the_production_policy_loads_on_this_host_and_names_what_is_missing() {
    let text = include_str!("../../policies/production.conf");
    let policy = Policy::parse(text, "production.conf").unwrap();
    assert!(
        policy
            .rules()
            .iter()
            .any(|rule| rule.entry() == "/etc/shadow")
    );
    assert!(
        policy
            .rules()
            .iter()
            .any(|rule| rule.effect == Effect::Allow && rule.subject != Subject::Any)
    );
    let resolution = resolve(&policy).unwrap();
    let resolved = resolution.files().count() + resolution.cgroups().count();
    assert_eq!(
        resolved + resolution.unresolved().count(),
        policy.rules().len()
    );
    for (id, reason) in resolution.unresolved() {
        let rule = policy.rule(id).unwrap();
        assert!(
            rule.path().is_none_or(|path| !path.exists()),
            "{}: {reason}",
            rule.label()
        );
        assert!(!reason.to_string().is_empty());
    }
}

fn policy_file(dir: &TempDir, mode: u32) -> std::path::PathBuf {
    let path = dir.path().join("p.conf");
    fs::write(&path, "version=1\n[deny_path]\n/etc/shadow\n").expect("the directory is ours");
    fs::set_permissions(&path, Permissions::from_mode(mode)).expect("the file is ours");
    path
}

#[test]
fn a_policy_is_read_from_a_file_that_only_we_may_write() {
    let dir = scratch();
    for mode in [0o644, 0o600, 0o444] {
        let path = policy_file(&dir, mode);
        let policy = Policy::from_path(&path).unwrap();
        assert_eq!(&**policy.source(), path.to_str().unwrap());
        assert_eq!(policy.rules()[0].label(), "p.conf:3 /etc/shadow");
        fs::remove_file(path).unwrap();
    }
}

#[test]
fn a_policy_that_others_may_write_is_refused() {
    let dir = scratch();
    for refused in [0o664, 0o646, 0o666, 0o620] {
        let path = policy_file(&dir, refused);
        let error = Policy::from_path(&path).unwrap_err();
        assert!(
            matches!(error, PolicyFileError::Writable { mode, .. } if mode == refused),
            "{error}"
        );
        assert!(
            error
                .to_string()
                .contains(&format!("chmod go-w {}", path.display())),
            "{error}"
        );
        fs::remove_file(path).unwrap();
    }
}

#[test]
fn a_policy_of_another_user_is_refused() {
    if !Uid::effective().is_root() {
        return; // Only root can give a file away.
    }
    let dir = scratch();
    let path = policy_file(&dir, 0o644);
    chown(&path, Some(Uid::from_raw(65_534)), None).unwrap();
    let error = Policy::from_path(&path).unwrap_err();
    assert!(
        matches!(error, PolicyFileError::Owner { owner: 65_534, .. }),
        "{error}"
    );
}

#[test]
fn what_is_no_file_is_refused_with_a_remedy() {
    let dir = scratch();
    let pipe = dir.path().join("pipe");
    mkfifo(&pipe, Mode::from_bits_truncate(0o600)).unwrap();
    let cases = [
        (
            dir.path().to_owned(),
            "is a directory, a policy is one file",
        ),
        (pipe, "is not a regular file"),
        (
            dir.path().join("none"),
            "there is no such file, check its name",
        ),
    ];
    for (path, expected) in cases {
        let error = Policy::from_path(&path).unwrap_err().to_string();
        assert!(
            error.contains(expected) && error.contains(path.to_str().unwrap()),
            "{error}"
        );
    }
}

#[test]
fn a_file_beyond_the_limit_is_refused_unread() {
    let dir = scratch();
    let path = policy_file(&dir, 0o600);
    fs::File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len((64 << 20) + 1)
        .unwrap();
    assert!(matches!(
        Policy::from_path(&path),
        Err(PolicyFileError::TooLarge { .. })
    ));
}

#[test]
fn a_file_with_errors_gives_all_of_them() {
    let dir = scratch();
    let path = policy_file(&dir, 0o600);
    fs::write(&path, b"version=1\n[deny_path]\nshadow\n\n[deny_ip]\nx\n").unwrap();
    let error = Policy::from_path(&path).unwrap_err();
    let PolicyFileError::Invalid(problems) = &error else {
        panic!("{error}")
    };
    assert_eq!(problems.len(), 2);
    assert!(
        error
            .to_string()
            .starts_with(&format!("{}:3:1: error: ", path.display())),
        "{error}"
    );
}
