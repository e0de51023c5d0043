//! What is put at a denied name, or on the way to it, that is not the file: links, mounts, programs that are run by it.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use nix::{
    errno::Errno,
    mount::{MntFlags, umount2},
};

use super::{
    actor::{allowed, command, refused},
    alias::OPENS_IN_32_BITS,
    scene::{Scene, Stage},
};

/// Nobody who is denied puts a link there. One who may can: it is counted, and followed when a policy is applied again.
pub(crate) fn a_symbolic_link_at_the_name_is_followed_by_the_next_policy(stage: &mut Stage) {
    let scene = Scene::new();
    let (secret, plain, link) = (scene.secret(), scene.plain(), scene.path("link"));
    symlink(&plain, &link).unwrap();
    stage.enforce(&scene.deny(&[&secret]));
    refused("rename", &[&link, &secret]);
    refused("exchange", &[&link, &secret]);
    fs::remove_file(&secret).unwrap();
    refused("symlink", &[&plain, &secret]);
    refused("rename", &[&link, &secret]);
    refused("link", &[&link, &secret]);
    let exempted = stage.counts().2;
    symlink(&plain, &secret).unwrap();
    assert!(stage.counts().2 > exempted, "one who may is counted");
    allowed("open", &[&secret]);
    stage.enforce(&scene.deny(&[&secret]));
    refused("open", &[&secret]);
    refused("open", &[&plain]);
}

/// The rule is about the file that the link led to. Who replaces the link opens another one, and not that.
pub(crate) fn a_symbolic_link_on_the_way_is_followed_once(stage: &mut Stage) {
    let scene = Scene::new();
    for directory in ["first", "second"] {
        fs::create_dir(scene.path(directory)).unwrap();
        fs::write(scene.path(directory).join("file"), "").unwrap();
    }
    let way = scene.path("way");
    symlink(scene.path("first"), &way).unwrap();
    let policy = scene.deny(&[&way.join("file")]);
    stage.enforce(&policy);
    refused("open", &[&way.join("file")]);
    allowed("unlink", &[&way]);
    allowed("symlink", &[&scene.path("second"), &way]);
    allowed("open", &[&way.join("file")]);
    refused("open", &[&scene.path("first/file")]);
    stage.enforce(&policy);
    refused("open", &[&way.join("file")]);
}

/// Not refused, for services and containers mount over such files in name spaces of their own every day: reported, and who
/// opens the file itself still meets the rule.
pub(crate) fn a_mount_over_it_is_reported(stage: &mut Stage) {
    let scene = Scene::new();
    let (way, decoy) = (scene.path("way"), scene.path("decoy"));
    for directory in [&way, &decoy] {
        fs::create_dir(directory).unwrap();
        fs::write(directory.join("file"), "").unwrap();
    }
    let (file, again) = (way.join("file"), scene.path("again"));
    fs::hard_link(&file, &again).unwrap();
    stage.enforce(&scene.deny(&[&file]));
    let reported = |stage: &Stage| (stage.health().names_moved, stage.counts().0);
    let mounts: [(&str, &Path, &Path, u64); 4] = [
        ("bind mount of it", &scene.plain(), &file, 1),
        ("new bind mount of it", &scene.plain(), &file, 1),
        ("bind mount of its directory", &decoy.join("file"), &way, 0),
        ("bind mount of it", &scene.plain(), &scene.path("secret"), 0),
    ];
    for (what, from, at, audited) in mounts {
        let before = reported(stage);
        allowed(what, &[from, at]);
        let after = reported(stage);
        let is_watched = at.starts_with(&way);
        assert_eq!(after.0 - before.0, u64::from(is_watched), "{what}");
        assert_eq!(after.1 - before.1, audited, "{what}");
    }
    refused("open", &[&file]);
    refused("open", &[&again]);
}

pub(crate) fn a_denied_program_is_executed_by_no_name(stage: &mut Stage) {
    let scene = Scene::new();
    let deep = scene.path(&"d".repeat(100)).join("e".repeat(100));
    fs::create_dir_all(&deep).unwrap();
    let denied = deep.join("program");
    let other = scene.path("program");
    for program in [&denied, &other] {
        fs::write(program, OPENS_IN_32_BITS).unwrap();
        fs::set_permissions(program, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let scripts = [(&denied, "script"), (&other, "other script")].map(|(program, name)| {
        let script = scene.path(name);
        fs::write(&script, format!("#!{}\n", program.display())).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        script
    });
    let (hard, symbolic) = (scene.path("hard"), scene.path("symbolic"));
    fs::hard_link(&denied, &hard).unwrap();
    symlink(&denied, &symbolic).unwrap();
    stage.enforce(&scene.deny(&[&denied]));
    let run = |program: &Path| Command::new(program).arg(scene.plain()).status();
    for program in [&denied, &hard, &symbolic, &scripts[0]] {
        let outcome = run(program).map_err(|e| e.raw_os_error());
        assert_eq!(
            outcome,
            Err(Some(Errno::EPERM as i32)),
            "{}",
            program.display()
        );
    }
    for program in [&other, &scripts[1]] {
        assert!(
            run(program).unwrap().code().is_some(),
            "{}",
            program.display()
        );
    }
    refused("execute by descriptor", &[&denied]);
    allowed("execute by descriptor", &[&other]);
}

/// Accepted: a rule knows a name as it is written. The file is denied by whatever spelling, but one that takes its place
/// under another is not, until a policy is applied again.
pub(crate) fn another_spelling_in_a_case_folding_directory(stage: &mut Stage) {
    if std::env::var_os("AEGIS_IN_VM").is_none() || !Path::new("/usr/bin/chattr").exists() {
        return; // it mounts, for all to see, and needs what makes such a directory
    }
    let scene = Scene::new();
    let (image, mounted) = (scene.path("image"), Mounted(scene.path("mounted")));
    let script = "truncate -s 32M \"$1\" && mkfs.ext4 -q -O casefold -E encoding=utf8 \"$1\" && mkdir \"$2\" \
        && mount -t ext4 -o loop \"$1\" \"$2\" && mkdir \"$2/folding\" && chattr +F \"$2/folding\"";
    let made = Command::new("sh")
        .args(["-c", script, "sh"])
        .args([&image, &mounted.0])
        .status();
    assert!(made.unwrap().success());
    let folding = mounted.0.join("folding");
    let (secret, loud) = (folding.join("secret"), folding.join("SECRET"));
    fs::write(&secret, "").unwrap();
    let policy = scene.deny(&[&secret]);
    stage.enforce(&policy);
    refused("open", &[&loud]);
    refused("unlink", &[&loud]);
    fs::remove_file(&secret).unwrap();
    refused("create", &[&secret]);
    allowed("create", &[&loud]);
    allowed("open", &[&loud]);
    stage.enforce(&policy);
    refused("open", &[&loud]);
    refused("open", &[&secret]);
}

struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}

/// The loader of programs that are not linked statically is opened to be executed.
pub(crate) fn a_denied_loader_loads_nothing(stage: &mut Stage) {
    let loader = Path::new("/lib64/ld-linux-x86-64.so.2");
    if std::env::var_os("AEGIS_IN_VM").is_none() || !loader.exists() {
        return; // nothing else on the machine would start
    }
    let scene = Scene::new();
    stage.enforce(&scene.deny(&[loader]));
    let outcome = command("stat", &[&scene.plain()])
        .status()
        .map_err(|e| e.raw_os_error());
    assert_eq!(outcome, Err(Some(Errno::EPERM as i32)));
    let statically_linked = Command::new("/bin/busybox").arg("true").status().unwrap();
    assert!(statically_linked.success());
}
