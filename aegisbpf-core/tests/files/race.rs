//! No window: threads of a denied process open a file without a pause while one who may replaces it, in all ways.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::{fd::AsRawFd, unix::fs::OpenOptionsExt},
    path::Path,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    fcntl::{AT_FDCWD, AtFlags, OFlag, RenameFlags, renameat2},
    sys::stat::{Mode, SFlag, mknod},
    unistd::linkat,
};

use super::{
    actor::{self, Busy},
    scene::{Scene, Stage},
};

const READERS: usize = 3;
const ROUNDS: usize = 4;

/// How long each way is tried, by default. `AEGIS_RACE_MS` makes it longer.
pub(crate) fn span() -> Duration {
    let ms = std::env::var("AEGIS_RACE_MS")
        .ok()
        .and_then(|ms| ms.parse().ok());
    Duration::from_millis(ms.unwrap_or(700))
}

/// The errand: opens `path` until the standard input ends, and says how often it was opened, refused and absent.
pub(crate) fn hammer(path: &Path) -> io::Result<()> {
    let stop = AtomicBool::new(false);
    let counts = [const { AtomicU64::new(0) }; 4];
    thread::scope(|scope| {
        for _ in 0..READERS {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let outcome = match File::open(path) {
                        Ok(_) => 0,
                        Err(e) if e.raw_os_error() == Some(Errno::EPERM as i32) => 1,
                        Err(e) if e.kind() == io::ErrorKind::NotFound => 2,
                        Err(_) => 3,
                    };
                    counts[outcome].fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        actor::wait_for_word().ok();
        stop.store(true, Ordering::Relaxed);
    });
    actor::say(counts);
    Ok(())
}

/// A process that hammers at a file.
pub(crate) struct Hammer(Busy);

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Blows {
    pub(crate) opened: u64,
    pub(crate) denied: u64,
    pub(crate) absent: u64,
    pub(crate) other: u64,
}

impl Hammer {
    pub(crate) fn start(path: &Path) -> Self {
        Self(Busy::start("hammer", &[path]))
    }

    #[track_caller]
    pub(crate) fn stop(self) -> Blows {
        let [opened, denied, absent, other] = self.0.stop();
        Blows {
            opened,
            denied,
            absent,
            other,
        }
    }
}

pub(crate) fn link_tmpfile(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new()
        .write(true)
        .custom_flags(OFlag::O_TMPFILE.bits())
        .open(path.parent().unwrap_or(Path::new("/")))?;
    let descriptor = format!("/proc/self/fd/{}", file.as_raw_fd());
    linkat(
        AT_FDCWD,
        descriptor.as_str(),
        AT_FDCWD,
        path,
        AtFlags::AT_SYMLINK_FOLLOW,
    )?;
    Ok(())
}

/// Runs of programs that the kernel skipped before.
pub(crate) struct Misses(u64);

impl Misses {
    pub(crate) fn until_now(stage: &Stage) -> Self {
        Self(stage.missed_runs())
    }

    /// Nothing gets through. Only where the kernel skips programs may something, and there each is in the count of skips.
    #[track_caller]
    pub(crate) fn account_for(&self, stage: &Stage, opened: u64, what: &str) {
        let missed = stage.missed_runs() - self.0;
        if missed > 0 {
            println!("{what}: {missed} runs skipped by the kernel");
        }
        let may_skip = fs::read_to_string("/sys/kernel/debug/sched/preempt")
            .is_ok_and(|modes| modes.contains("(full)"));
        assert!(may_skip || missed == 0, "{what}: {missed} runs skipped");
        assert!(opened <= missed, "{what}: {opened} opens got through");
    }
}

/// One replacement of `secret`. What fails (a file that is not there any more) is tried in the next round.
type Way = fn(&Path, &Path) -> io::Result<()>;

const WAYS: [(&str, Way); 8] = [
    ("rename over", |secret, spare| {
        fs::write(spare, "")?;
        fs::rename(spare, secret)
    }),
    ("unlink, create", |secret, _| {
        let _ = fs::remove_file(secret);
        fs::write(secret, "")
    }),
    ("unlink, link", |secret, spare| {
        let _ = fs::remove_file(spare);
        fs::write(spare, "")?;
        let _ = fs::remove_file(secret);
        fs::hard_link(spare, secret)?;
        fs::remove_file(spare)
    }),
    ("exchange", |secret, spare| {
        let _ = fs::remove_file(spare);
        fs::write(spare, "")?;
        Ok(renameat2(
            AT_FDCWD,
            spare,
            AT_FDCWD,
            secret,
            RenameFlags::RENAME_EXCHANGE,
        )?)
    }),
    ("unlink, mknod", |secret, _| {
        let _ = fs::remove_file(secret);
        Ok(mknod(secret, SFlag::S_IFREG, Mode::S_IRWXU, 0)?)
    }),
    ("unlink, tmpfile", |secret, _| {
        let _ = fs::remove_file(secret);
        link_tmpfile(secret).or_else(|_| fs::write(secret, ""))
    }),
    ("away and back", |secret, spare| {
        fs::rename(secret, spare)?;
        fs::rename(spare, secret)
    }),
    ("away, create", |secret, spare| {
        fs::rename(secret, spare)?;
        fs::write(secret, "")
    }),
];

/// Whether what was done so often since then is done once more. On a slow machine it may take the whole span to do it once, and
/// one is no race.
pub(crate) fn goes_on(start: Instant, done: u64) -> bool {
    start.elapsed() < span() || done <= 3 && start.elapsed() < Duration::from_secs(60)
}

fn replace_for(secret: &Path, spare: &Path, way: Way) -> u64 {
    let start = Instant::now();
    let mut done = 0;
    while goes_on(start, done) {
        done += u64::from(way(secret, spare).is_ok());
        // So that the next way begins with a file.
        if !secret.exists() {
            fs::write(secret, "").unwrap();
        }
    }
    done
}

pub(crate) fn no_open_of_a_file_that_is_replaced_gets_through(stage: &mut Stage) {
    for directory in super::file_systems() {
        let scene = Scene::below(&directory);
        let (secret, spare) = (scene.secret(), scene.path("spare"));
        stage.enforce(&scene.deny(&[&secret]));
        for (name, way) in WAYS {
            let misses = Misses::until_now(stage);
            let hammer = Hammer::start(&secret);
            let done = replace_for(&secret, &spare, way);
            let blows = hammer.stop();
            println!(
                "{:<12} {name:<16} replaced {done:>6}, denied {:>7}, absent {:>7}, opened {}",
                directory.display(),
                blows.denied,
                blows.absent,
                blows.opened
            );
            misses.account_for(
                stage,
                blows.opened,
                &format!("{name} on {}", directory.display()),
            );
            assert!(
                done > 3 && blows.denied > 0,
                "{name}: nothing was tried: {done} {blows:?}"
            );
        }
        assert_eq!(stage.health().fault_bound, 0);
    }
}

/// Ends a thread's work however the fact ends: a scope waits for its threads even when it panics.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The rule comes while the file is replaced without a pause: from the moment that `apply` has returned, nothing opens.
pub(crate) fn no_open_gets_through_while_rules_come_and_go(stage: &mut Stage) {
    for directory in super::file_systems() {
        let scene = Scene::below(&directory);
        let (secret, spare) = (scene.secret(), scene.path("spare"));
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut ways = WAYS.iter().cycle();
                while !stop.load(Ordering::Relaxed) {
                    let _ = ways.next().unwrap().1(&secret, &spare);
                    if !secret.exists() {
                        let _ = fs::write(&secret, "");
                    }
                }
            });
            let stopping = StopAtEnd(&stop);
            let misses = Misses::until_now(stage);
            let mut sum = Blows::default();
            for _ in 0..ROUNDS {
                stage.enforce(&scene.deny(&[&secret]));
                let hammer = Hammer::start(&secret);
                thread::sleep(Duration::from_millis(40));
                // Another rule beside it comes and goes.
                stage.apply(&scene.deny(&[&secret, &scene.plain()]));
                stage.apply(&scene.deny(&[&secret]));
                let blows = hammer.stop();
                stage.apply(&scene.deny(&[&scene.plain()]));
                sum.opened += blows.opened;
                sum.denied += blows.denied;
                sum.absent += blows.absent;
            }
            drop(stopping);
            println!("{:<12} {ROUNDS} rounds, {sum:?}", directory.display());
            misses.account_for(stage, sum.opened, &directory.display().to_string());
            assert!(sum.denied > 0, "nothing was tried");
        });
    }
}
