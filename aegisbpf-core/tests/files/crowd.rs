//! Several processes at once, each with its own dice: whatever they do, nobody who is denied reads what was written under
//! a denied name. Who may makes such files anew, so that none was open before; from then on they may be moved and linked
//! anywhere, and stay closed.

use std::{
    fs::{self, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
};

use nix::{errno::Errno, fcntl::OFlag};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{
    actor::{self, Busy},
    race::{Misses, span},
    random,
    scene::{Scene, Stage},
};

const SECRET: &str = "only for one who may";
/// The files that the policy denies, in directories that nobody moves.
const DENIED: [&str; 3] = ["d0/n0", "d1/n1", "d2/n2"];
/// What denied processes try, besides reading.
const ATTACKS: [(&str, usize); 12] = [
    ("rename", 2),
    ("rename", 2),
    ("exchange", 2),
    ("link", 2),
    ("link", 2),
    ("symlink", 2),
    ("unlink", 1),
    ("open or create", 1),
    ("truncate", 1),
    ("mkdir", 1),
    ("rmdir", 1),
    ("mknod", 1),
];

/// The errand: attacks and reads until the standard input ends, and says how many reads there were, how many were refused,
/// how many read a secret and how many opened a denied name.
pub(crate) fn attack(root: &Path, seed: &str) -> io::Result<()> {
    let mut dice = ChaCha8Rng::seed_from_u64(seed.parse().map_err(io::Error::other)?);
    let stop = AtomicBool::new(false);
    let counts = [const { AtomicU64::new(0) }; 4];
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let (operation, takes) = ATTACKS[dice.random_range(0..ATTACKS.len())];
                let paths: Vec<_> = (0..takes).map(|_| random::path(root, &mut dice)).collect();
                let _ = actor::perform(operation, &paths);
                for path in &paths {
                    look(root, path, &counts);
                }
                look(root, &root.join(DENIED[dice.random_range(0..3)]), &counts);
            }
        });
        actor::wait_for_word().ok();
        stop.store(true, Ordering::Relaxed);
    });
    actor::say(counts);
    Ok(())
}

fn look(root: &Path, path: &Path, counts: &[AtomicU64; 4]) {
    let count = |which: usize, n: bool| counts[which].fetch_add(n.into(), Ordering::Relaxed);
    let is_denied = DENIED.iter().any(|denied| root.join(denied) == path);
    // One who may has perhaps moved a link of ours to the name: what it leads to is denied or not by itself.
    let flags = if is_denied {
        OFlag::O_NOFOLLOW
    } else {
        OFlag::empty()
    };
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits())
        .open(path);
    count(0, true);
    match file {
        Ok(mut file) => {
            let mut text = Vec::new();
            let _ = file.read_to_end(&mut text);
            count(2, String::from_utf8_lossy(&text).contains(SECRET));
            count(3, is_denied);
        }
        Err(e) => drop(count(1, e.raw_os_error() == Some(Errno::EPERM as i32))),
    }
}

/// One who may: makes a denied file anew and writes into it.
fn write_secret(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir(path)?,
        Ok(_) => fs::remove_file(path)?,
        Err(_) => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .custom_flags(OFlag::O_NOFOLLOW.bits())
        .open(path)?;
    file.write_all(SECRET.as_bytes())
}

/// And then does with it, and with all others, what comes to mind.
fn stir(root: &Path, dice: &mut ChaCha8Rng, written: &mut u64) {
    let denied = root.join(DENIED[dice.random_range(0..3)]);
    *written += u64::from(write_secret(&denied).is_ok());
    for _ in 0..4 {
        let mut paths: Vec<PathBuf> = vec![random::path(root, dice), random::path(root, dice)];
        if dice.random() {
            paths[dice.random_range(0..2)].clone_from(&denied);
        }
        // The directories stay.
        if paths.iter().any(|path| path.parent() == Some(root)) {
            continue;
        }
        let operation = ["rename", "exchange", "link"][dice.random_range(0..3)];
        let _ = actor::perform(operation, &paths);
    }
}

pub(crate) fn no_open_of_a_crowd_reads_a_secret(stage: &mut Stage) {
    let seed = random::seed();
    println!("seed {seed}");
    for directory in super::file_systems() {
        let scene = Scene::below(&directory);
        let root = scene.path("tree");
        for directory in ["d0", "d1", "d2", "d3"] {
            fs::create_dir_all(root.join(directory)).unwrap();
        }
        let denied = DENIED.map(|path| root.join(path));
        stage.enforce(&scene.deny(&denied.each_ref().map(PathBuf::as_path)));
        let misses = Misses::until_now(stage);
        let attackers: Vec<_> = (1..4)
            .map(|n| Busy::start("attack", &[&root, Path::new(&(seed + n).to_string())]))
            .collect();
        let mut dice = ChaCha8Rng::seed_from_u64(seed);
        let mut written = 0;
        let start = std::time::Instant::now();
        while start.elapsed() < 4 * span() || written < 20 && start.elapsed() < 80 * span() {
            stir(&root, &mut dice, &mut written);
        }
        let mut sum = [0; 4];
        for attacker in attackers {
            for (all, one) in sum.iter_mut().zip(attacker.stop::<4>()) {
                *all += one;
            }
        }
        let [looked, refused, secrets, opened] = sum;
        println!(
            "{:<12} written {written:>5}, looked {looked:>6}, refused {refused:>6}, secrets {secrets}, opened {opened}",
            directory.display()
        );
        misses.account_for(stage, secrets + opened, &directory.display().to_string());
        assert!(written > 3 && refused > 10, "nothing was tried");
        assert_eq!(stage.health().fault_bound, 0);
    }
}
