//! A rule about a path holds for whatever file comes to bear that name.

use std::{
    fs,
    path::{Path, PathBuf},
};

use nix::errno::Errno;

use super::{
    actor::{Waiting, act, allowed, refused},
    scene::{Scene, Stage},
};

/// One way to replace the first file, with the second name to spare.
type Way = fn(&Path, &Path);

/// Replaces `secret` in each of the ways that programs have, as one who may: this process.
const WAYS: [(&str, Way); 8] = [
    ("rename over it", |secret, spare| {
        fs::write(spare, "new\n").unwrap();
        fs::rename(spare, secret).unwrap();
    }),
    ("unlink and create", |secret, _| {
        fs::remove_file(secret).unwrap();
        fs::write(secret, "new\n").unwrap();
    }),
    ("unlink and link", |secret, spare| {
        fs::write(spare, "new\n").unwrap();
        fs::remove_file(secret).unwrap();
        fs::hard_link(spare, secret).unwrap();
    }),
    ("exchange", |secret, spare| {
        fs::write(spare, "new\n").unwrap();
        exchange(spare, secret);
        fs::remove_file(spare).unwrap();
    }),
    ("unlink and mknod", |secret, _| {
        use nix::sys::stat::{Mode, SFlag, mknod};
        fs::remove_file(secret).unwrap();
        mknod(secret, SFlag::S_IFREG, Mode::S_IRWXU, 0).unwrap();
    }),
    ("unlink and tmpfile", |secret, _| {
        fs::remove_file(secret).unwrap();
        if super::race::link_tmpfile(secret).is_err() {
            fs::write(secret, "new\n").unwrap(); // overlay on 6.1 has none
        }
    }),
    ("away and back", |secret, spare| {
        fs::rename(secret, spare).unwrap();
        fs::rename(spare, secret).unwrap();
    }),
    ("away and create", |secret, spare| {
        fs::rename(secret, spare).unwrap();
        fs::write(secret, "new\n").unwrap();
        fs::remove_file(spare).unwrap();
    }),
];

fn exchange(a: &Path, b: &Path) {
    use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
    renameat2(AT_FDCWD, a, AT_FDCWD, b, RenameFlags::RENAME_EXCHANGE).unwrap();
}

pub(crate) fn a_replaced_file_is_denied_like_the_first(stage: &mut Stage) {
    for directory in super::file_systems() {
        let scene = Scene::below(&directory);
        let (secret, spare) = (scene.secret(), scene.path("spare"));
        stage.enforce(&scene.deny(&[&secret]));
        refused("open", &[&secret]);
        for (way, replace) in WAYS {
            replace(&secret, &spare);
            assert_eq!(
                act("open", &[&secret]),
                Err(Errno::EPERM),
                "{way} on {}",
                directory.display()
            );
        }
        allowed("open", &[&scene.plain()]);
        drop(scene);
        assert_eq!(stage.health().fault_bound, 0);
    }
}

pub(crate) fn what_does_not_exist_yet_is_denied_from_birth(stage: &mut Stage) {
    for directory in super::file_systems() {
        let scene = Scene::below(&directory);
        let later = scene.path("later");
        stage.enforce(&scene.deny(&[&later]));
        for what in ["create", "mkdir", "mknod"] {
            refused(what, &[&later]);
        }
        // Overlays have no such files on 6.1.
        let tmpfile = act("tmpfile", &[&later]);
        assert!(
            matches!(tmpfile, Err(Errno::EPERM | Errno::EOPNOTSUPP)),
            "{tmpfile:?}"
        );
        refused("symlink", &[&scene.plain(), &later]);
        refused("link", &[&scene.plain(), &later]);
        refused("rename", &[&scene.plain(), &later]);
        assert!(!later.exists(), "nothing was left behind");
        fs::write(&later, "made by one who may\n").unwrap();
        refused("open", &[&later]);
    }
}

/// Roots and first directories of file systems often have the same numbers: a rule on one says nothing about another, one
/// that comes counts at once, and one that goes takes none that stays with it.
pub(crate) fn names_are_watched_on_each_file_system(stage: &mut Stage) {
    let scenes: Vec<Scene> = super::file_systems()
        .iter()
        .map(|directory| Scene::below(directory))
        .collect();
    let later = |scene: &Scene| scene.path("later");
    let only = |watched: &[usize]| {
        for (n, scene) in scenes.iter().enumerate() {
            let later = later(scene);
            if watched.contains(&n) {
                refused("create", &[&later]);
            } else {
                allowed("create", &[&later]);
                fs::remove_file(&later).unwrap();
            }
        }
    };
    let rule = |n: usize| scenes[n].deny(&[&later(&scenes[n])]);
    for n in 0..scenes.len() {
        stage.enforce(&rule(n));
        only(&[n]);
    }
    let last = scenes.len() - 1;
    let mut watched = vec![last];
    for n in 0..last {
        stage.add(&rule(n));
        watched.push(n);
        only(&watched);
    }
    while let Some(n) = watched.pop() {
        stage.remove(&rule(n));
        only(&watched);
    }
}

/// Short names and long ones are kept apart, and each is compared whole.
pub(crate) fn a_name_of_any_length_is_watched(stage: &mut Stage) {
    let scene = Scene::new();
    let names = [1, 22, 23, 24, 25, 200].map(|length| scene.path(&"n".repeat(length)));
    stage.enforce(&scene.deny(&names.each_ref().map(PathBuf::as_path)));
    for name in &names {
        refused("create", &[name]);
        fs::write(name, "made by one who may\n").unwrap();
        refused("open", &[name]);
    }
    for length in [2, 21, 26, 199] {
        let other = scene.path(&"n".repeat(length));
        allowed("create", &[&other]);
        allowed("open", &[&other]);
    }
    let other_end = scene.path(&format!("{}m", "n".repeat(199)));
    allowed("create", &[&other_end]);
}

pub(crate) fn a_file_that_bore_the_name_stays_denied_until_it_dies(stage: &mut Stage) {
    let scene = Scene::new();
    let (secret, backup) = (scene.secret(), scene.path("secret.bak"));
    stage.enforce(&scene.deny(&[&secret]));
    fs::write(scene.path("spare"), "second\n").unwrap();
    fs::rename(scene.path("spare"), &secret).unwrap();
    fs::rename(&secret, &backup).unwrap();
    refused("open", &[&backup]);
    fs::hard_link(&backup, scene.path("another")).unwrap();
    refused("open", &[&scene.path("another")]);
    fs::remove_file(&backup).unwrap();
    fs::remove_file(scene.path("another")).unwrap();
    fs::write(&backup, "another file\n").unwrap();
    allowed("open", &[&backup]);
}

/// Once the kernel has forgotten the file's names, one who has its handle opens it without any.
pub(crate) fn a_replaced_file_is_denied_without_a_name(stage: &mut Stage) {
    if std::env::var_os("AEGIS_IN_VM").is_none() {
        return; // it empties the caches of the whole machine
    }
    let scene = Scene::below(Path::new("/ext4"));
    let (secret, spare) = (scene.secret(), scene.path("spare"));
    stage.enforce(&scene.deny(&[&secret]));
    fs::write(&spare, "new\n").unwrap();
    let holders =
        [&spare, &scene.plain()].map(|path| Waiting::start("held open by handle", &[path]));
    fs::rename(&spare, &secret).unwrap();
    nix::unistd::sync();
    fs::write("/proc/sys/vm/drop_caches", "2").unwrap();
    let [replacement, plain] = holders.map(Waiting::go);
    assert_eq!(replacement, Err(Errno::EPERM));
    assert_eq!(plain, Ok(()));
}

/// ext4 gives the number of a deleted file to the next one.
pub(crate) fn a_number_that_is_used_again_denies_no_innocent(stage: &mut Stage) {
    let directory = Path::new("/ext4");
    if !directory.exists() {
        return;
    }
    let scene = Scene::below(directory);
    let secret = scene.secret();
    stage.enforce(&scene.deny(&[&secret]));
    let number = scene.id(&secret);
    fs::remove_file(&secret).unwrap();
    let innocent = (0..64)
        .map(|n| scene.path(&format!("innocent{n}")))
        .find(|path| {
            fs::write(path, "innocent\n").unwrap();
            scene.id(path) == number
        })
        .expect("ext4 uses the number again");
    allowed("open", &[&innocent]);
}

/// A rename whose hook was asked and that the file system then refused: the file stays what it was.
pub(crate) fn a_failed_replacement_marks_nothing(stage: &mut Stage) {
    let scene = Scene::new();
    let (name, spare) = (scene.path("name"), scene.path("spare"));
    stage.enforce(&scene.deny(&[&name]));
    fs::create_dir(&name).unwrap();
    fs::write(name.join("inside"), "").unwrap();
    fs::create_dir(&spare).unwrap();
    // A directory over one that is not empty, by one who may.
    assert!(fs::rename(&spare, &name).is_err());
    allowed("list", &[&spare]);
    refused("list", &[&name]);
    allowed("read", &[&name.join("inside")]);
}

pub(crate) fn the_directories_on_the_way_stay_where_they_are(stage: &mut Stage) {
    let scene = Scene::new();
    let way = scene.path("a/b");
    fs::create_dir_all(&way).unwrap();
    let file = way.join("file");
    fs::write(&file, "").unwrap();
    stage.enforce(&scene.deny(&[&file]));
    refused("rename", &[&way, &scene.path("elsewhere")]);
    refused("rename", &[&scene.path("a"), &scene.path("elsewhere")]);
    fs::create_dir(scene.path("decoy")).unwrap();
    refused("exchange", &[&scene.path("decoy"), &scene.path("a")]);
    let before = stage.health().names_moved;
    fs::rename(scene.path("a"), scene.path("elsewhere")).unwrap();
    assert!(
        stage.health().names_moved > before,
        "one who may is reported"
    );
}

/// Another directory in its place would have a number of its own, and no name in it would be watched.
pub(crate) fn a_directory_on_the_way_is_not_removed(stage: &mut Stage) {
    let scene = Scene::new();
    let (empty, denied) = (scene.path("empty"), scene.path("denied"));
    fs::create_dir(&empty).unwrap();
    stage.enforce(&scene.deny(&[&empty.join("later"), &denied]));
    fs::create_dir(&denied).unwrap();
    refused("rmdir", &[&empty]);
    refused("rmdir", &[&denied]);
    refused("create", &[&empty.join("later")]);
    let before = stage.health().names_moved;
    fs::remove_dir(&empty).unwrap();
    assert!(
        stage.health().names_moved > before,
        "one who may is reported"
    );
    fs::create_dir(scene.path("another")).unwrap();
    allowed("rmdir", &[&scene.path("another")]);
}

/// What the daemon of a distribution does on every change of a password.
pub(crate) fn in_audit_mode_a_replaced_file_is_still_counted(stage: &mut Stage) {
    let scene = Scene::new();
    let (secret, spare) = (scene.secret(), scene.path("spare"));
    stage.audit(&scene.deny(&[&secret]));
    fs::write(&spare, "new\n").unwrap();
    allowed("rename", &[&spare, &secret]);
    let before = stage.counts().0;
    for _ in 0..3 {
        allowed("open", &[&secret]);
    }
    assert_eq!(stage.counts().0 - before, 3);
}

/// One who is excepted from the rule about a file has no exception from another rule, by giving that file its name.
pub(crate) fn an_exception_from_one_rule_is_none_from_another(stage: &mut Stage) {
    let scene = Scene::new();
    let (ours, denied) = (scene.secret(), scene.path("denied"));
    let us = std::env::current_exe().unwrap();
    let policy = |more: &str| {
        format!(
            "version=7\n[deny_path]\n{}\n{}\n[allow_exec]\n{} {}\n{more}",
            ours.display(),
            denied.display(),
            us.display(),
            ours.display()
        )
    };
    let elsewhere = scene.path("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    // The second policy has the programs for directories in place of the others.
    for more in [
        String::new(),
        format!("[deny_dir]\n{}\n", elsewhere.display()),
    ] {
        stage.enforce(&policy(&more));
        allowed("open", &[&ours]);
        for what in ["rename", "link"] {
            refused(what, &[&ours, &denied]);
        }
        assert!(ours.exists() && !denied.exists());
        let before = stage.counts().2;
        allowed("rename", &[&ours, &scene.path("moved")]);
        assert_eq!(stage.counts().2 - before, 1, "an exemption is counted");
        fs::rename(scene.path("moved"), &ours).unwrap();
    }
}

/// What the programs remember has an end. Beyond it a new file is open to all, which is counted, until there is room again.
pub(crate) fn more_files_than_can_be_remembered_are_counted(stage: &mut Stage) {
    /// The size of the map in the object.
    const ROOM: usize = 1 << 13;
    const BEYOND: u64 = 10;
    let scene = Scene::new();
    let (name, old) = (scene.secret(), |n: usize| scene.path(&format!("old{n}")));
    fs::remove_file(&name).unwrap();
    stage.enforce(&scene.deny(&[&name]));
    for n in 0..ROOM {
        fs::write(&name, "").unwrap();
        fs::rename(&name, old(n)).unwrap();
    }
    let before = stage.health().fault_bound;
    refused("open", &[&old(ROOM - 1)]);
    for _ in 0..BEYOND {
        fs::write(&name, "").unwrap();
        allowed("open", &[&name]);
        fs::remove_file(&name).unwrap();
    }
    assert_eq!(stage.health().fault_bound - before, BEYOND);
    fs::remove_file(old(0)).unwrap();
    fs::write(&name, "").unwrap();
    refused("open", &[&name]);
}
