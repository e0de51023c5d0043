//! Everything that can be done to a denied file is refused, not only to open it.

use std::fs;

use nix::errno::Errno;

use super::{
    actor::{Waiting, act, allowed, refused},
    scene::{Scene, Stage},
};

pub(crate) fn whatever_is_done_to_a_denied_file_is_refused(stage: &mut Stage) {
    let scene = Scene::new();
    let (secret, plain, other) = (scene.secret(), scene.plain(), scene.path("other"));
    stage.enforce(&scene.deny(&[&secret]));
    for what in [
        "open",
        "read",
        "write",
        "truncate",
        "chmod",
        "chown",
        "setxattr",
        "unlink",
        "reopen",
        "open by handle",
    ] {
        refused(what, &[&secret]);
    }
    let symbolic = scene.path("symbolic");
    allowed("symlink", &[&secret, &symbolic]);
    refused("open", &[&symbolic]);
    refused("link", &[&secret, &other]);
    refused("rename", &[&secret, &other]);
    refused("exchange", &[&secret, &plain]);
    refused("exchange", &[&plain, &secret]);
    assert_eq!(
        fs::read_to_string(&secret).unwrap(),
        "secret\n",
        "untouched"
    );

    for what in [
        "open",
        "write",
        "chmod",
        "chown",
        "setxattr",
        "truncate",
        "open by handle",
    ] {
        allowed(what, &[&plain]);
    }
    allowed("link", &[&plain, &other]);
    allowed("rename", &[&other, &scene.path("third")]);
    allowed("unlink", &[&plain]);
}

pub(crate) fn a_descriptor_older_than_the_rule_may_be_read_and_nothing_else(stage: &mut Stage) {
    let scene = Scene::new();
    let secret = scene.secret();
    stage.enforce(&scene.deny(&[]));
    let waiting = ["held ftruncate", "held fchmod", "held mmap", "held reopen"]
        .map(|what| (what, Waiting::start(what, &[&secret])));
    stage.enforce(&scene.deny(&[&secret]));
    for (what, actor) in waiting {
        assert_eq!(actor.go(), Err(Errno::EPERM), "{what}");
    }
    assert_eq!(
        fs::read_to_string(&secret).unwrap(),
        "secret\n",
        "untouched"
    );
}

/// What nothing stops: rows of the catalogue that are accepted, each with its reason.
pub(crate) fn what_is_let_through_is_known(stage: &mut Stage) {
    let scene = Scene::new();
    let (secret, copy) = (scene.secret(), scene.path("copy"));
    fs::copy(&secret, &copy).unwrap();
    stage.enforce(&scene.deny(&[]));
    let waiting = [
        "held read",
        "held sendfile",
        "held splice",
        "held hand over",
        "held write",
    ]
    .map(|what| (what, Waiting::start(what, &[&secret])));
    stage.enforce(&scene.deny(&[&secret]));
    for (what, actor) in waiting {
        assert_eq!(actor.go(), Ok(()), "{what}");
    }
    for what in ["stat", "touch", "path only"] {
        allowed(what, &[&secret]);
    }
    allowed("read", &[&copy]);
    refused("read", &[&secret]);
}

pub(crate) fn an_inode_rule_needs_no_names_and_its_hooks_go_with_it(stage: &mut Stage) {
    let scene = Scene::new();
    let (secret, other) = (scene.secret(), scene.path("other"));
    stage.enforce(&format!("version=1\n[deny_inode]\n{}\n", scene.id(&secret)));
    assert!(stage.has_hook("inode_rename") && !stage.has_hook("d_instantiate"));
    for what in ["open", "truncate", "chmod", "unlink"] {
        refused(what, &[&secret]);
    }
    refused("rename", &[&secret, &other]);
    stage.enforce("version=1\n");
    assert!(stage.links().is_empty(), "{:?}", stage.links());
    allowed("open", &[&secret]);
}

pub(crate) fn in_audit_mode_each_is_counted_and_none_refused(stage: &mut Stage) {
    let scene = Scene::new();
    let secret = scene.secret();
    stage.audit(&scene.deny(&[&secret]));
    let before = stage.counts();
    for what in ["open", "truncate", "chmod", "chown", "setxattr"] {
        allowed(what, &[&secret]);
    }
    let after = stage.counts();
    assert_eq!((after.0 - before.0, after.1 - before.1), (5, 0));
    allowed("unlink", &[&secret]);
    assert_eq!(act("open", &[&secret]), Err(Errno::ENOENT));
    assert_eq!(stage.counts().0 - after.0, 1);
}

/// Whatever else a rename meets: what stood against its first half is counted, once.
pub(crate) fn in_audit_mode_a_denied_file_over_an_innocent_one_is_counted(stage: &mut Stage) {
    let scene = Scene::new();
    let secret = scene.secret();
    for rule in [
        format!("version=1\n[deny_inode]\n{}\n", scene.id(&secret)),
        scene.deny(&[&secret]),
    ] {
        stage.audit(&rule);
        let before = stage.counts();
        allowed("rename", &[&secret, &scene.plain()]);
        assert_eq!(stage.counts().0 - before.0, 1, "{rule}");
        fs::rename(scene.plain(), &secret).unwrap();
        fs::write(scene.plain(), "plain\n").unwrap();
    }
}
