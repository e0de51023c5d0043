//! Rules about all below a directory.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Instant,
};

use nix::{
    errno::Errno,
    fcntl::{AT_FDCWD, RenameFlags, renameat2},
    mount::{MntFlags, MsFlags, mount, umount2},
};

use super::{
    actor::{Waiting, act, allowed, refused},
    race::{Hammer, Misses, goes_on, link_tmpfile},
    scene::{Scene, Stage},
};

/// A directory to deny, `denied`, with a file three levels down; beside it a directory to leave alone, `open`.
struct Tree(Scene);

impl Tree {
    fn new() -> Self {
        Self::on(&std::env::temp_dir())
    }

    fn on(file_system: &Path) -> Self {
        let tree = Self(Scene::below(file_system));
        for directory in ["denied/a/b", "denied/empty", "open/a", "denied-not"] {
            fs::create_dir_all(tree.0.path(directory)).unwrap();
        }
        for file in [
            "denied/file",
            "denied/a/b/deep",
            "open/file",
            "denied-not/file",
        ] {
            fs::write(tree.0.path(file), "text\n").unwrap();
        }
        tree
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path(name)
    }

    fn policy(&self) -> String {
        format!("version=7\n[deny_dir]\n{}\n", self.path("denied").display())
    }
}

fn exchange(one: &Path, two: &Path) -> nix::Result<()> {
    renameat2(AT_FDCWD, one, AT_FDCWD, two, RenameFlags::RENAME_EXCHANGE)
}

pub(crate) fn all_below_a_directory_is_refused(stage: &mut Stage) {
    for file_system in super::file_systems() {
        let tree = Tree::on(&file_system);
        let path = |name: &str| tree.path(name);
        fs::write(path("denied/twin"), "").unwrap();
        fs::hard_link(path("denied/twin"), path("open/link")).unwrap();
        stage.enforce(&tree.policy());
        refused("open", &[&path("denied/twin")]);
        for file in ["denied/file", "denied/a/b/deep"] {
            for what in [
                "open", "read", "write", "truncate", "chmod", "chown", "setxattr", "unlink",
                "reopen",
            ] {
                refused(what, &[&path(file)]);
            }
            // (An overlay gives no handles on some kernels.)
            let by_handle = act("open by handle at", &[&path(file), &path("open")]);
            assert!(
                matches!(by_handle, Err(Errno::EPERM | Errno::EOPNOTSUPP)),
                "{by_handle:?}"
            );
            refused("link", &[&path(file), &path("open/other")]);
            refused("rename", &[&path(file), &path("open/other")]);
            refused("exchange", &[&path(file), &path("open/file")]);
            refused("exchange", &[&path("open/file"), &path(file)]);
            refused("rename", &[&path("open/file"), &path(file)]);
        }
        // The directories themselves.
        for directory in ["denied", "denied/a", "denied/empty"] {
            refused("list", &[&path(directory)]);
            refused("chmod", &[&path(directory)]);
            refused("rmdir", &[&path(directory)]);
            refused("rename", &[&path(directory), &path("open/moved")]);
        }
        // What is not there yet.
        for directory in ["denied", "denied/a/b"] {
            let new = path(directory).join("new");
            for what in ["create", "mkdir", "mknod"] {
                refused(what, &[&new]);
            }
            // (An overlay on 6.1 has none at all.)
            assert_ne!(act("tmpfile", &[&new]), Ok(()));
            refused("symlink", &[Path::new("nothing"), &new]);
            refused("link", &[&path("open/file"), &new]);
            refused("rename", &[&path("open/file"), &new]);
            refused("rename", &[&path("open/a"), &new]);
            assert!(!new.exists());
        }
        // By a name outside it is refused if it leads inside; a hard link does not.
        let symbolic = path("open/symbolic");
        allowed("symlink", &[&path("denied/a"), &symbolic]);
        refused("open", &[&symbolic.join("b/deep")]);
        allowed("open", &[&path("open/link")]);
        assert_eq!(
            fs::read_to_string(path("denied/a/b/deep")).unwrap(),
            "text\n"
        );

        for what in ["open", "write", "truncate", "chmod", "setxattr"] {
            allowed(what, &[&path("open/file")]);
            allowed(what, &[&path("denied-not/file")]);
        }
        allowed("list", &[&path("open")]);
        allowed("create", &[&path("open/new")]);
        allowed("rename", &[&path("open/new"), &path("denied-not/new")]);
        allowed("link", &[&path("open/file"), &path("open/second")]);
        allowed("unlink", &[&path("open/second")]);
        allowed("mkdir", &[&path("open/directory")]);
        allowed("rmdir", &[&path("open/directory")]);
    }
}

pub(crate) fn what_comes_below_is_denied_and_what_leaves_is_not(stage: &mut Stage) {
    for file_system in super::file_systems() {
        let tree = Tree::on(&file_system);
        let path = |name: &str| tree.path(name);
        stage.enforce(&tree.policy());
        // This process may.
        fs::write(path("denied/created"), "").unwrap();
        fs::hard_link(path("open/file"), path("denied/linked")).unwrap();
        fs::rename(path("denied-not"), path("denied/moved")).unwrap();
        fs::create_dir(path("denied/made")).unwrap();
        fs::write(path("denied/made/file"), "").unwrap();
        for file in ["created", "linked", "moved/file", "made/file"] {
            refused("open", &[&path("denied").join(file)]);
        }
        if link_tmpfile(&path("denied/tmpfile")).is_ok() {
            refused("open", &[&path("denied/tmpfile")]);
        }
        allowed("open", &[&path("open/file")]);

        fs::rename(path("denied/moved"), path("moved")).unwrap();
        fs::rename(path("denied/file"), path("open/left")).unwrap();
        allowed("open", &[&path("moved/file")]);
        allowed("open", &[&path("open/left")]);
        // Opened while it was denied, by one who may not: an O_PATH descriptor gives nothing.
        let deep = path("denied/a/b/deep");
        let waiting = Waiting::start("held reopen", &[&deep]);
        fs::remove_file(&deep).unwrap();
        assert_eq!(waiting.go(), Err(Errno::EPERM), "unlinked meanwhile");

        // A descriptor that is older than the rule.
        stage.enforce("version=7\n");
        let held = ["held ftruncate", "held fchmod", "held mmap", "held reopen"]
            .map(|what| (what, Waiting::start(what, &[&path("denied/made/file")])));
        fs::write(path("denied/made/file"), "text\n").unwrap();
        stage.enforce(&tree.policy());
        for (what, actor) in held {
            assert_eq!(actor.go(), Err(Errno::EPERM), "{what}");
        }
    }
}

/// A mount that goes with the fact.
struct Mounted(PathBuf);

impl Mounted {
    fn tmpfs(at: &Path) -> Self {
        let none: Option<&Path> = None;
        mount(Some("tmpfs"), at, Some("tmpfs"), MsFlags::empty(), none).unwrap();
        Self(at.to_owned())
    }

    fn bind(from: &Path, at: &Path) -> Self {
        let none: Option<&Path> = None;
        mount(Some(from), at, none, MsFlags::MS_BIND, none).unwrap();
        Self(at.to_owned())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}

pub(crate) fn a_mount_hides_nothing_of_a_denied_directory(stage: &mut Stage) {
    if std::env::var_os("AEGIS_IN_VM").is_none() {
        return; // mounts are for machines of our own
    }
    let tree = Tree::new();
    let path = |name: &str| tree.path(name);
    for name in [
        "denied/first",
        "denied/second",
        "denied/third",
        "elsewhere",
        "open/hill",
    ] {
        fs::create_dir(path(name)).unwrap();
    }
    // Made before the rule, and after it.
    let first = Mounted::tmpfs(&path("denied/first"));
    fs::write(path("denied/first/file"), "").unwrap();
    stage.enforce(&tree.policy());
    refused("open", &[&path("denied/first/file")]);
    refused("create", &[&path("denied/first/other")]);
    drop(first);
    stage.enforce("version=7\n");
    stage.enforce(&tree.policy());

    let _second = Mounted::tmpfs(&path("denied/second"));
    fs::write(path("denied/second/file"), "").unwrap();
    refused("open", &[&path("denied/second/file")]);
    let _third = Mounted::bind(&path("open"), &path("denied/third"));
    refused("open", &[&path("denied/third/file")]);
    refused("truncate", &[&path("denied/third/file")]);
    allowed("open", &[&path("open/file")]);
    // A part of it elsewhere.
    let _elsewhere = Mounted::bind(&path("denied/a"), &path("elsewhere"));
    refused("open", &[&path("elsewhere/b/deep")]);
    refused("create", &[&path("elsewhere/new")]);
    // Over the directory itself.
    let over = Mounted::tmpfs(&path("denied"));
    fs::write(path("denied/file"), "").unwrap();
    refused("open", &[&path("denied/file")]);
    drop(over);
    // A directory with a mount in it comes along.
    let mut hill = Mounted::tmpfs(&path("open/hill"));
    fs::write(path("open/hill/file"), "").unwrap();
    allowed("open", &[&path("open/hill/file")]);
    drop(_third);
    fs::rename(path("open"), path("denied/open")).unwrap();
    hill.0 = path("denied/open/hill");
    refused("open", &[&path("denied/open/hill/file")]);
}

/// What replaces the directory, by one who may: this process.
type Way = fn(&Path, &Path) -> io::Result<()>;

const WAYS: [(&str, Way); 5] = [
    ("exchange", |directory, spare| {
        fill(spare)?;
        exchange(spare, directory)?;
        fs::remove_dir_all(spare)
    }),
    ("rmdir, mkdir", |directory, _| {
        fs::remove_dir_all(directory)?;
        fill(directory)
    }),
    ("rmdir, rename", |directory, spare| {
        fill(spare)?;
        fs::remove_dir_all(directory)?;
        fs::rename(spare, directory)
    }),
    ("away and back", |directory, spare| {
        fs::rename(directory, spare)?;
        fs::rename(spare, directory)
    }),
    ("rename over", |directory, spare| {
        fill(spare)?;
        fs::remove_dir_all(directory)?;
        fs::create_dir(directory)?;
        fs::rename(spare, directory)
    }),
];

fn fill(directory: &Path) -> io::Result<()> {
    fs::create_dir(directory)?;
    fs::write(directory.join("file"), "")
}

pub(crate) fn a_replaced_directory_is_denied_like_the_first(stage: &mut Stage) {
    for file_system in super::file_systems() {
        let tree = Tree::on(&file_system);
        let (denied, spare) = (tree.path("denied"), tree.path("spare"));
        stage.enforce(&tree.policy());
        for (name, way) in WAYS {
            // (An overlay does not rename a directory that its lower layer may have.)
            match way(&denied, &spare) {
                Err(e) if e.raw_os_error() == Some(Errno::EXDEV as i32) => continue,
                outcome => outcome.unwrap_or_else(|e| panic!("{name}: {e}")),
            }
            println!("{} {name}", file_system.display());
            refused("open", &[&denied.join("file")]);
            refused("list", &[&denied]);
            refused("create", &[&denied.join("new")]);
            refused("rename", &[&denied, &spare]);
            assert!(!spare.exists());
        }
        // What bore the name stays denied; what never did is not.
        fs::rename(&denied, &spare).unwrap();
        refused("open", &[&spare.join("file")]);
        fs::create_dir(&denied).unwrap();
        fs::write(denied.join("new"), "").unwrap();
        refused("open", &[&denied.join("new")]);
        allowed("open", &[&tree.path("open/file")]);
        // A file in its place.
        fs::remove_dir_all(&denied).unwrap();
        fs::write(&denied, "").unwrap();
        refused("open", &[&denied]);
        refused("unlink", &[&denied]);
    }
}

pub(crate) fn a_directory_that_is_not_there_yet_is_denied_from_birth(stage: &mut Stage) {
    for file_system in super::file_systems() {
        let tree = Tree::on(&file_system);
        let later = tree.path("later");
        stage.enforce(&format!("version=7\n[deny_dir]\n{}\n", later.display()));
        for what in ["mkdir", "create", "mknod"] {
            refused(what, &[&later]);
        }
        refused("rename", &[&tree.path("open"), &later]);
        fs::create_dir_all(later.join("a/b")).unwrap();
        fs::write(later.join("a/b/file"), "").unwrap();
        refused("open", &[&later.join("a/b/file")]);
        refused("list", &[&later]);
        allowed("open", &[&tree.path("denied/file")]);
    }
}

pub(crate) fn an_executable_is_excepted_below_a_directory(stage: &mut Stage) {
    let tree = Tree::new();
    let path = |name: &str| tree.path(name);
    let us = std::env::current_exe().unwrap();
    let rules = |exceptions: &str| {
        format!(
            "{}[deny_path]\n{}\n[allow_exec]\n{exceptions}",
            tree.policy(),
            path("denied/a/b/deep").display()
        )
    };
    // All below one directory of it: also what another rule denies there.
    stage.enforce(&rules(&format!(
        "{} {}/\n",
        us.display(),
        path("denied/a").display()
    )));
    let before = stage.counts().2;
    allowed("open", &[&path("denied/a/b/deep")]);
    allowed("create", &[&path("denied/a/new")]);
    allowed("list", &[&path("denied/a")]);
    assert!(stage.counts().2 >= before + 3, "exempted is counted");
    refused("open", &[&path("denied/file")]);
    refused("rename", &[&path("denied/a/new"), &path("denied/new")]);
    // The whole, and what takes its place.
    stage.enforce(&rules(&format!(
        "{} {}/\n",
        us.display(),
        path("denied").display()
    )));
    allowed("open", &[&path("denied/file")]);
    fs::rename(path("denied"), path("gone")).unwrap();
    fs::create_dir(path("denied")).unwrap();
    fs::write(path("denied/file"), "").unwrap();
    allowed("open", &[&path("denied/file")]);
    // One file of it.
    stage.enforce(&format!(
        "{}[allow_exec]\n{} {}\n",
        tree.policy(),
        us.display(),
        path("denied/file").display()
    ));
    allowed("open", &[&path("denied/file")]);
    refused("list", &[&path("denied")]);
    // From a rule about a file alone, below a directory that nothing denies.
    stage.enforce(&format!(
        "version=7\n[deny_path]\n{}\n{}\n[allow_exec]\n{} {}/\n",
        path("open/file").display(),
        path("gone/file").display(),
        us.display(),
        path("open").display()
    ));
    allowed("open", &[&path("open/file")]);
    refused("open", &[&path("gone/file")]);
    // For another executable it is none.
    let copy = path("copy");
    fs::copy(&us, &copy).unwrap();
    stage.enforce(&rules(&format!(
        "{} {}/\n",
        copy.display(),
        path("denied").display()
    )));
    refused("open", &[&path("denied/file")]);
}

pub(crate) fn an_exempt_cgroup_is_exempt_below_a_directory(stage: &mut Stage) {
    let tree = Tree::new();
    stage.enforce(&format!("{}[allow_cgroup]\n/\n", tree.policy()));
    let before = stage.counts();
    for what in ["open", "chmod", "truncate"] {
        allowed(what, &[&tree.path("denied/a/b/deep")]);
    }
    allowed("create", &[&tree.path("denied/new")]);
    let after = stage.counts();
    // A file that is made is opened as well.
    assert_eq!((after.1, after.2 - before.2), (before.1, 5));
}

pub(crate) fn in_audit_mode_each_access_below_is_counted_once_and_named(stage: &mut Stage) {
    let tree = Tree::new();
    let deep = tree.path("denied/a/b/deep");
    stage.audit(&tree.policy());
    let mut events = stage.aegis().events().unwrap();
    while events.try_next().unwrap().is_some() {}
    let before = stage.counts();
    for what in ["open", "truncate", "chmod", "chown", "setxattr"] {
        allowed(what, &[&deep]);
    }
    let moved = tree.path("denied/a/moved");
    allowed("rename", &[&deep, &moved]);
    allowed("link", &[&moved, &deep]);
    allowed("create", &[&tree.path("denied/a/new")]);
    allowed("unlink", &[&deep]);
    allowed("rmdir", &[&tree.path("denied/empty")]);
    let after = stage.counts();
    // A file that is made is opened as well.
    assert_eq!((after.0 - before.0, after.1 - before.1), (11, 0));
    let event = events.try_next().unwrap().expect("an event");
    let denied = tree.path("denied").display().to_string();
    assert_eq!(
        (event.path.as_ref(), event.object.as_deref()),
        (Some(&deep), Some(denied.as_str())),
        "{event:?}"
    );
    assert_eq!(event.file.ino, fs::metadata(&moved).unwrap().ino());
}

pub(crate) fn hooks_for_directories_come_and_go_with_their_rules(stage: &mut Stage) {
    let tree = Tree::new();
    let file = tree.path("open/file");
    let plain = format!("version=1\n[deny_inode]\n{}\n", tree.0.id(&file));
    stage.enforce(&plain);
    let before = stage.links();
    assert!(!stage.has_hook("inode_create"));
    stage.enforce(&tree.policy());
    assert!(stage.has_hook("inode_create"));
    let opens = |stage: &Stage| {
        stage
            .links()
            .iter()
            .filter(|l| l.ends_with("file_open"))
            .count()
    };
    assert_eq!(opens(stage), 1);
    refused("open", &[&tree.path("denied/file")]);
    allowed("open", &[&file]);
    stage.enforce(&plain);
    assert_eq!(stage.links(), before);
    allowed("open", &[&tree.path("denied/file")]);
    refused("open", &[&file]);
}

pub(crate) fn a_file_whose_place_nobody_knows_is_refused(stage: &mut Stage) {
    if std::env::var_os("AEGIS_IN_VM").is_none() {
        return; // it empties the caches of the whole machine
    }
    let tree = Tree::on(Path::new("/ext4"));
    let elsewhere = Tree::new();
    let path = |name: &str| tree.path(name);
    let policies = [
        (tree.policy(), Err(Errno::EPERM)),
        (elsewhere.policy(), Ok(())),
    ];
    for (policy, expected) in policies {
        stage.enforce("version=7\n");
        let actor = Waiting::start(
            "held open by handle at",
            &[&path("denied/a/b/deep"), &path("open")],
        );
        nix::unistd::sync();
        fs::write("/proc/sys/vm/drop_caches", "2").unwrap();
        stage.enforce(&policy);
        assert_eq!(actor.go(), expected);
    }
}

pub(crate) fn a_very_deep_file_is_below(stage: &mut Stage) {
    const LEVELS: usize = 150;
    let tree = Tree::new();
    let mut deep = tree.path("denied");
    for _ in 0..LEVELS {
        deep.push("d");
    }
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("file"), "").unwrap();
    let outside = tree.path("open").join("d/".repeat(LEVELS));
    fs::create_dir_all(&outside).unwrap();
    fs::write(outside.join("file"), "").unwrap();
    stage.enforce(&tree.policy());
    refused("open", &[&deep.join("file")]);
    refused("create", &[&deep.join("new")]);
    allowed("open", &[&outside.join("file")]);
    assert_eq!(stage.health().fault_depth, 0);
}

/// However files and directories move about below, the file at a name there is never opened.
pub(crate) fn no_open_below_gets_through_while_files_move(stage: &mut Stage) {
    for file_system in super::file_systems() {
        let tree = Tree::on(&file_system);
        let path = |name: &str| tree.path(name);
        stage.enforce(&tree.policy());
        let (file, other, outside) = (path("denied/a/file"), path("denied/file"), path("open/out"));
        let moves: [(&str, &dyn Fn() -> io::Result<()>); 4] = [
            ("within", &|| {
                fs::rename(&file, &other)?;
                fs::rename(&other, &file)
            }),
            ("its directory", &|| {
                fs::rename(path("denied/a"), path("denied/empty/a"))?;
                fs::rename(path("denied/empty/a"), path("denied/a"))
            }),
            ("replaced from outside", &|| {
                fs::write(&outside, "")?;
                fs::rename(&outside, &file)
            }),
            ("exchanged with outside", &|| {
                fs::write(&outside, "")?;
                exchange(&outside, &file).map_err(Into::into)
            }),
        ];
        for (name, step) in moves {
            fs::write(&file, "").unwrap();
            let misses = Misses::until_now(stage);
            let hammer = Hammer::start(&file);
            let start = Instant::now();
            let mut done = 0;
            while goes_on(start, done) {
                done += u64::from(step().is_ok());
            }
            let blows = hammer.stop();
            println!(
                "{:<10} {name:<24} moved {done:>6}, {blows:?}",
                file_system.display()
            );
            // What is moved out after its name was looked up is opened where it then lies, as it may be.
            if name != "exchanged with outside" {
                misses.account_for(stage, blows.opened, name);
            }
            assert!(
                blows.denied > 0,
                "{name}: nothing was tried: {done} {blows:?}"
            );
        }
    }
}

pub(crate) fn no_open_gets_through_while_the_directory_is_replaced(stage: &mut Stage) {
    for file_system in super::file_systems() {
        let tree = Tree::on(&file_system);
        let (denied, spare) = (tree.path("denied"), tree.path("spare"));
        stage.enforce(&tree.policy());
        for (name, way) in WAYS {
            let misses = Misses::until_now(stage);
            let hammer = Hammer::start(&denied.join("file"));
            let start = Instant::now();
            let mut done = 0;
            while goes_on(start, done) {
                done += u64::from(way(&denied, &spare).is_ok());
                let _ = fs::remove_dir_all(&spare);
                if !denied.exists() {
                    fill(&denied).unwrap();
                }
            }
            let blows = hammer.stop();
            println!(
                "{:<10} {name:<16} replaced {done:>6}, {blows:?}",
                file_system.display()
            );
            misses.account_for(stage, blows.opened, name);
            assert!(
                blows.denied > 0,
                "{name}: nothing was tried: {done} {blows:?}"
            );
        }
        assert_eq!(stage.health().fault_bound, 0);
    }
}
