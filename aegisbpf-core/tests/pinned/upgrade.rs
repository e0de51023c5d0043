//! Enforcement goes on while processes come and go.

use std::io::{BufRead, BufReader};

use aegisbpf_core::{Backend, Mode};

use super::{
    bpffs::BpfFs,
    errand,
    life::{attach, builder, open},
};
use crate::common::{Scene, assert_refused, cat, start_opening};

pub(crate) fn killing_the_daemon_ends_no_enforcement(backend: Backend) {
    let (fs, scene) = (BpfFs::mount(), Scene::new());
    let mut daemon = errand::start(&["run", &backend.to_string(), "enforce"], &fs.base());
    let mut ready = String::new();
    BufReader::new(daemon.stdout.take().unwrap())
        .read_line(&mut ready)
        .unwrap();
    errand::run(&["apply"], &fs.base(), &scene.policy().to_string());
    assert_refused(&scene.secret);
    assert_eq!(open(&fs.base()).daemon(), Some(daemon.id()));
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    assert_refused(&scene.secret);
    let control = open(&fs.base());
    assert_eq!(control.daemon(), None);
    assert_eq!(
        (control.mode(), control.stats().unwrap().hits()),
        (Mode::Enforce, 2)
    );
    // And the policy can still be changed.
    errand::run(&["apply"], &fs.base(), "version=1\n");
    assert!(cat(&scene.secret).status.success());
}

/// Starts one process after the other over the same pins while a file is opened all the time.
pub(crate) fn no_open_slips_through_a_restart(backend: Backend) {
    let (fs, scene) = (BpfFs::mount(), Scene::new());
    const OPENS: usize = 3_000;
    let first = builder(backend, &fs.base()).mode(Mode::Enforce);
    drop(attach(first.policy(scene.policy())));
    let mut load = start_opening(&scene.secret, OPENS);
    let mut starts = 0;
    let status = loop {
        if let Some(status) = load.try_wait().unwrap() {
            break status;
        }
        let [one, other] = scene.two_policies();
        let policy = if starts % 2 == 0 { other } else { one };
        let next = attach(builder(backend, &fs.base()).policy(policy));
        assert_eq!(next.mode(), Mode::Enforce, "the mode was not asked for");
        drop(next);
        starts += 1;
    };
    assert!(starts > 3, "the load ended before anything was restarted");
    assert_eq!(status.code(), Some(1), "an open succeeded");
    let stats = open(&fs.base()).stats().unwrap();
    let denied: u64 = stats.rules.iter().map(|rule| rule.denied).sum();
    assert_eq!(denied, OPENS as u64, "each was counted once");
}
