//! Policies change while others open: at any moment one of them holds, and whole.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::Duration,
};

use nix::errno::Errno;

use super::{
    actor::{self, Busy},
    race::Misses,
    raw,
    scene::{Scene, Stage},
};

const READERS: usize = 4;

/// How many policies follow each other, by default. `AEGIS_SWAPS` makes it more.
fn swaps() -> u64 {
    let told = std::env::var("AEGIS_SWAPS").ok();
    told.and_then(|n| n.parse().ok()).unwrap_or(200)
}

/// Which policies follow each other. The first file is denied by all.
#[derive(Clone, Copy)]
enum Series {
    /// The even ones deny the second file, the odd ones the third.
    Exchanges,
    /// All deny the second, the odd ones the third too.
    Edits,
}

impl Series {
    fn from_errand(what: &str) -> Self {
        match what {
            "watch edits" => Self::Edits,
            _ => Self::Exchanges,
        }
    }

    fn errand(self) -> &'static str {
        match self {
            Self::Exchanges => "watch exchanges",
            Self::Edits => "watch edits",
        }
    }

    /// Does the policy of this number deny the second file, and the third?
    fn denies(self, number: u64) -> [bool; 2] {
        let odd = number % 2 == 1;
        match self {
            Self::Exchanges => [!odd, odd],
            Self::Edits => [true, odd],
        }
    }
}

/// What the readers saw, summed up.
#[derive(Debug, Default)]
struct Seen {
    /// Opens of the file that all policies deny, and those that succeeded.
    tried: u64,
    opened: u64,
    /// Looks at the other two while one policy was in force, and while one followed the other.
    at_rest: u64,
    in_change: u64,
    /// What fits no policy, and no succession of those that were in force meanwhile.
    impossible: u64,
    other_errors: u64,
}

/// The errand: four threads look at the files until the standard input ends. The first path is the progress: twice the
/// number of the policy in force, and one more while the next is being applied.
pub(crate) fn watch(what: &str, paths: &[PathBuf]) -> io::Result<()> {
    let series = Series::from_errand(what);
    let progress = raw::shared_number(&paths[0])?;
    let counts = [const { AtomicU64::new(0) }; 6];
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for reader in 0..READERS {
            let (counts, stop) = (&counts, &stop);
            scope.spawn(move || {
                let count = |which: usize, n: bool| {
                    counts[which].fetch_add(n.into(), Ordering::Relaxed);
                };
                let is_denied = |path: &Path| match File::open(path) {
                    Ok(_) => false,
                    Err(e) => {
                        count(5, e.raw_os_error() != Some(Errno::EPERM as i32));
                        true
                    }
                };
                // Half of them look at the third before the second.
                let order = if reader % 2 == 0 { [0, 1] } else { [1, 0] };
                while !stop.load(Ordering::Relaxed) {
                    count(0, true);
                    count(1, !is_denied(&paths[1]));
                    let before = progress.load(Ordering::SeqCst);
                    let seen = order.map(|file| (file, is_denied(&paths[2 + file])));
                    let after = progress.load(Ordering::SeqCst);
                    let (first, last) = (before / 2, after.div_ceil(2));
                    count(2, first == last);
                    count(3, first < last);
                    count(4, !is_possible(series, first, last, seen));
                }
            });
        }
        actor::wait_for_word().ok();
        stop.store(true, Ordering::Relaxed);
    });
    actor::say(counts);
    Ok(())
}

/// Is there a policy among `first..=last` for the first look, and the same or a later one for the second?
fn is_possible(series: Series, first: u64, last: u64, seen: [(usize, bool); 2]) -> bool {
    let fits = |number: u64, (file, denied): (usize, bool)| series.denies(number)[file] == denied;
    (first..=last).any(|one| fits(one, seen[0]) && (one..=last).any(|other| fits(other, seen[1])))
}

/// Applies one policy after the other by `change`, which is told the number of the next, while four threads look.
fn change_while_watched(
    stage: &mut Stage,
    scene: &Scene,
    series: Series,
    mut change: impl FnMut(&mut Stage, u64),
) {
    let progress = scene.path("progress");
    fs::write(&progress, [0; 8]).unwrap();
    let told = raw::shared_number(&progress).unwrap();
    let misses = Misses::until_now(stage);
    let denied = stage.denied(&scene.secret());
    let readers = Busy::start(
        series.errand(),
        &[
            &progress,
            &scene.secret(),
            &scene.path("second"),
            &scene.path("third"),
        ],
    );
    for number in 1..=swaps() {
        told.fetch_add(1, Ordering::SeqCst);
        change(stage, number);
        told.fetch_add(1, Ordering::SeqCst);
        // So that somebody looks while this one is in force and no other on its way.
        thread::sleep(Duration::from_millis(2));
    }
    let [tried, opened, at_rest, in_change, impossible, other_errors] = readers.stop();
    let seen = Seen {
        tried,
        opened,
        at_rest,
        in_change,
        impossible,
        other_errors,
    };
    println!("{} times: {seen:?}", swaps());
    misses.account_for(stage, seen.opened + seen.impossible, series.errand());
    assert!(
        seen.at_rest > 0 && seen.in_change > 0,
        "nothing was tried: {seen:?}"
    );
    assert_eq!(seen.other_errors, 0);
    // Who stands in both policies keeps its counter, which missed nothing and counted nothing twice.
    assert_eq!(
        stage.denied(&scene.secret()) - denied,
        seen.tried - seen.opened
    );
}

fn scene() -> Scene {
    let scene = Scene::new();
    for name in ["second", "third"] {
        fs::write(scene.path(name), "").unwrap();
    }
    scene
}

pub(crate) fn no_open_meets_half_a_policy(stage: &mut Stage) {
    let scene = scene();
    let policies =
        ["second", "third"].map(|name| scene.deny(&[&scene.secret(), &scene.path(name)]));
    stage.enforce(&policies[0]);
    change_while_watched(stage, &scene, Series::Exchanges, |stage, number| {
        stage.apply(&policies[usize::from(number % 2 == 1)]);
    });
}

pub(crate) fn no_open_slips_through_single_additions_and_removals(stage: &mut Stage) {
    let scene = scene();
    let one = scene.deny(&[&scene.path("third")]);
    stage.enforce(&scene.deny(&[&scene.secret(), &scene.path("second")]));
    change_while_watched(stage, &scene, Series::Edits, |stage, number| {
        if number % 2 == 1 {
            stage.add(&one);
        } else {
            stage.remove(&one);
        }
    });
}
