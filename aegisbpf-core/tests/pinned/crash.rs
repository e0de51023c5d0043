//! A process that dies while it changes the policy leaves the old one or the new one, whole.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::Path,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use aegisbpf_core::{Backend, Control, Enforcer, Policy};

use super::{
    bpffs::{BpfFs, set_of},
    errand,
    life::{attach, builder, open},
};
use crate::common::{Scene, cat};

/// Splits the policies that an errand is given.
pub(crate) const BETWEEN: &str = "---\n";

pub(crate) fn two_hundred_kills_leave_the_old_or_the_new_policy(backend: Backend) {
    kill_appliers(backend, 200);
}

pub(crate) fn kills_leave_the_old_or_the_new_policy(backend: Backend) {
    kill_appliers(backend, 30);
}

fn kill_appliers(backend: Backend, kills: u32) {
    let (fs, scene) = (BpfFs::mount(), Scene::new());
    let policies = policies(&scene);
    let mut aegis = attach(builder(backend, &fs.base()).policy(policies[0].clone()));
    let links = aegis.links();
    // What a change takes here, so that kills meet each of its steps.
    let start = Instant::now();
    aegis.apply(&policies[1]).unwrap();
    aegis.apply(&policies[0]).unwrap();
    let span = u64::try_from(start.elapsed().as_micros()).unwrap();
    let mut dice = Dice::new();
    let mut found = [0; 2];
    let mut broken_off = 0;
    for _ in 0..kills {
        let mut child = errand::start(&["apply-forever"], &fs.base());
        let mut stdin = child.stdin.take().unwrap();
        write!(stdin, "{}{BETWEEN}{}", policies[1], policies[0]).unwrap();
        drop(stdin);
        let mut ready = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut ready)
            .unwrap();
        thread::sleep(Duration::from_micros(dice.roll(span * 3 / 2)));
        child.kill().unwrap();
        child.wait().unwrap();
        broken_off += u32::from(fs.set().join("switching").exists());
        // As it was left, and as the next one who changes something has mended it.
        let before = check(&aegis, &scene, &policies);
        let mut control = open(&fs.base());
        control.set_event_sample_rate(1).unwrap();
        let after = check(&control, &scene, &policies);
        assert_eq!(before, after, "mending changed the policy");
        assert_mended(&fs.base(), &control);
        assert_eq!(control.links(), links);
        found[after] += 1;
    }
    println!(
        "{kills} kills within {span} us, {broken_off} in the middle of a change; old or new: {found:?}"
    );
    assert!(
        broken_off > 0,
        "no kill met a change: the test shows nothing"
    );
    assert!(found[0] > 0 && found[1] > 0, "{found:?}");
    drop(aegis);
    let restarted: Enforcer = attach(builder(backend, &fs.base()));
    check(&restarted, &scene, &policies);
}

/// Which of the policies is in force, by what it says and by what the kernel does.
#[track_caller]
fn check(control: &Control, scene: &Scene, policies: &[Policy; 2]) -> usize {
    let policy = control.policy().unwrap();
    let which = policies.iter().position(|p| *p == policy);
    let which = which.unwrap_or_else(|| panic!("neither the old nor the new policy:\n{policy}"));
    let counts = |path: &Path| {
        let stats = control.stats().unwrap();
        assert_eq!(stats.health.faults(), 0, "{:?}", stats.health);
        let rule = stats
            .rules
            .iter()
            .find(|rule| Path::new(&rule.entry) == path);
        rule.map(|rule| rule.audited + rule.denied)
    };
    let (secret, plain) = (counts(&scene.secret), counts(&scene.plain));
    cat(&scene.secret);
    cat(&scene.plain);
    assert_eq!(counts(&scene.secret), secret.map(|n| n + 1));
    assert!(secret.is_some(), "both policies have it");
    assert_eq!(counts(&scene.plain), plain.map(|n| n + 1));
    assert_eq!(plain.is_some(), which == 1);
    which
}

fn assert_mended(base: &Path, control: &Control) {
    let set = set_of(base);
    assert!(!set.join("switching").exists());
    let kept = fs::read_dir(set.join("policies")).unwrap().count();
    assert!(kept <= 2, "{kept} policies are kept");
    let generation = control.stats().unwrap().generation;
    assert_eq!(control.previous().unwrap().is_some(), generation > 1);
}

/// Both deny the secret; the second denies the plain file too; and each has rules of its own.
fn policies(scene: &Scene) -> [Policy; 2] {
    let own = |from: u32| -> String {
        (from..from + 150)
            .map(|n| format!("1048577:{n}\n"))
            .collect()
    };
    let text = |more: &str, from: u32| {
        format!(
            "version=1\n[deny_path]\n{}\n{more}[deny_inode]\n{}",
            scene.secret.display(),
            own(from)
        )
    };
    [
        text("", 5_000_000).parse().unwrap(),
        text(&format!("{}\n", scene.plain.display()), 6_000_000)
            .parse()
            .unwrap(),
    ]
}

/// The other process: applies one policy after the other until it is killed.
pub(super) fn apply_forever(mut control: Control, text: &str) {
    let policies: Vec<Policy> = text
        .split(BETWEEN)
        .map(|text| text.parse().unwrap())
        .collect();
    println!("ready");
    for policy in policies.iter().cycle() {
        control
            .apply(policy)
            .unwrap_or_else(|e| panic!("{}", e.chain()));
    }
}

/// A small generator of numbers; its seed is printed, so that a failure can be repeated as far as timing allows.
struct Dice(u64);

impl Dice {
    fn new() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let seed = u64::try_from(now.as_nanos() & u128::from(u64::MAX)).unwrap();
        println!("seed {seed}");
        Self(seed | 1)
    }

    fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}
