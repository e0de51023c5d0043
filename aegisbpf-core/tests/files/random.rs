//! Thousands of random operations on a small tree, by a denied process and by one who may, held against a model of the
//! policy. `AEGIS_SEED` repeats a run, `AEGIS_OPERATIONS` makes it longer.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Stdio},
    time::{SystemTime, UNIX_EPOCH},
};

use nix::errno::Errno;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{
    actor,
    model::{Model, Verdict},
    scene::{Scene, Stage},
};

/// Operations, and how many paths they take.
const OPERATIONS: &[(&str, usize)] = &[
    ("open", 1),
    ("read", 1),
    ("write", 1),
    ("truncate", 1),
    ("chmod", 1),
    ("chown", 1),
    ("setxattr", 1),
    ("reopen", 1),
    ("list", 1),
    ("open or create", 1),
    ("create", 1),
    ("create", 1),
    ("mkdir", 1),
    ("mknod", 1),
    ("tmpfile", 1),
    ("unlink", 1),
    ("rmdir", 1),
    ("symlink", 2),
    ("link", 2),
    ("link", 2),
    ("rename", 2),
    ("rename", 2),
    ("rename", 2),
    ("exchange", 2),
    ("exchange", 2),
];
/// Another process for each costs too much to be as likely as the others.
const ONE_IN_SO_MANY_EXECUTES: u32 = 60;

const OPERATIONS_A_ROUND: u32 = 500;
const DIRECTORIES: [&str; 4] = ["d0", "d1", "d2", "d3"];
const NAMES: [&str; 4] = ["n0", "n1", "n2", "n3"];
/// The last is not there yet when the policy is applied; nor is its directory's last name ever.
const DENIED: [&str; 4] = ["d0/n0", "d1/n1", "d1/n2", "d2/n3"];

fn told(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

pub(crate) fn seed() -> u64 {
    told("AEGIS_SEED").unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        u64::from(now.subsec_nanos()) ^ now.as_secs() << 20
    })
}

/// One of the tree's paths.
pub(crate) fn path(root: &Path, dice: &mut ChaCha8Rng) -> PathBuf {
    let mut path = root.join(DIRECTORIES[dice.random_range(0..4)]);
    let depth = match dice.random_range(0..32) {
        0 => 0,
        1..24 => 1,
        _ => 2,
    };
    for _ in 0..depth {
        path.push(NAMES[dice.random_range(0..4)]);
    }
    path
}

/// A denied process that does what it is told.
struct Servant {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Servant {
    fn start() -> Self {
        let mut child = actor::command("obey", &[])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self {
            child,
            input,
            output,
        }
    }

    fn act(&mut self, operation: &str, paths: &[PathBuf]) -> Result<(), Errno> {
        let paths = paths.iter().map(|path| path.to_str().unwrap());
        let words: Vec<&str> = std::iter::once(operation).chain(paths).collect();
        writeln!(self.input, "{}", words.join("\t")).unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        match line.trim().parse().unwrap() {
            0 => Ok(()),
            errno => Err(Errno::from_raw(errno)),
        }
    }
}

impl Drop for Servant {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How many operations went which way.
#[derive(Debug, Default)]
struct Tally {
    done: u32,
    refused: u32,
    failed: u32,
}

/// One tree, from the policy on.
struct Round {
    scene: Scene,
    model: Model,
    /// What was done, for whoever has to find out why.
    log: Vec<String>,
}

impl Round {
    fn new(stage: &mut Stage, directory: &Path) -> Self {
        let scene = Scene::below(directory);
        let root = scene.path("tree");
        fs::create_dir(&root).unwrap();
        let mut round = Self {
            model: Model::new(&root, number(&root)),
            scene,
            log: Vec::new(),
        };
        for directory in &DIRECTORIES[..3] {
            round.by_one_who_may("mkdir", &[root.join(directory)]);
        }
        for file in ["d0/n0", "d0/n1", "d1/n0", "d1/n1", "d1/n2", "d2/n0"] {
            round.by_one_who_may("create", &[root.join(file)]);
        }
        let denied = DENIED.map(|path| root.join(path));
        let denied: Vec<&Path> = denied.iter().map(PathBuf::as_path).collect();
        stage.enforce(&round.scene.deny(&denied));
        for path in denied {
            round.model.deny(path);
        }
        round
    }

    fn root(&self) -> PathBuf {
        self.scene.path("tree")
    }

    /// One of the tree's paths: half of the time one that is there.
    fn path(&self, dice: &mut ChaCha8Rng) -> PathBuf {
        if dice.random() {
            return path(&self.root(), dice);
        }
        let mut names = self.model.names();
        names.swap_remove(dice.random_range(0..names.len())).0
    }

    fn by_one_who_may(&mut self, operation: &str, paths: &[PathBuf]) -> Tally {
        let outcome = actor::perform(operation, paths)
            .map_err(|e| Errno::from_raw(e.raw_os_error().unwrap_or(0)));
        self.note("one who may", operation, paths, outcome);
        assert!(
            outcome != Err(Errno::EPERM)
                || self.model.verdict(operation, paths) == Verdict::Impossible,
            "one who may is refused"
        );
        self.follow(operation, paths, outcome)
    }

    fn by_a_denied_one(
        &mut self,
        servant: &mut Servant,
        operation: &str,
        paths: &[PathBuf],
    ) -> Tally {
        let verdict = self.model.verdict(operation, paths);
        let outcome = servant.act(operation, paths);
        self.note("a denied one", operation, paths, outcome);
        match verdict {
            Verdict::Refused => assert!(outcome.is_err(), "a denied one was let through"),
            Verdict::Free => assert_ne!(outcome, Err(Errno::EPERM), "an innocent was refused"),
            Verdict::Impossible => assert!(outcome.is_err(), "the model is wrong"),
        }
        self.follow(operation, paths, outcome)
    }

    fn follow(&mut self, operation: &str, paths: &[PathBuf], outcome: Result<(), Errno>) -> Tally {
        match outcome {
            Ok(()) => {
                assert!(
                    self.model.done(operation, paths, number),
                    "the model is out of step"
                );
                Tally {
                    done: 1,
                    ..Tally::default()
                }
            }
            Err(Errno::EPERM) => Tally {
                refused: 1,
                ..Tally::default()
            },
            Err(_) => Tally {
                failed: 1,
                ..Tally::default()
            },
        }
    }

    fn note(&mut self, who: &str, operation: &str, paths: &[PathBuf], outcome: Result<(), Errno>) {
        let root = self.root();
        let paths = paths.iter().map(|path| {
            path.strip_prefix(&root)
                .unwrap_or(path)
                .display()
                .to_string()
        });
        self.log.push(format!(
            "{who}: {operation} {}: {outcome:?}",
            paths.collect::<Vec<_>>().join(" ")
        ));
    }

    /// The tree is what the model thinks, and each name is open to a denied one or not.
    fn check(&mut self, servant: &mut Servant) {
        for (path, is_directory, is_refused) in self.model.names() {
            let meta =
                fs::symlink_metadata(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            assert_eq!(meta.is_dir(), is_directory, "{}", path.display());
            let opened = servant.act("open", std::slice::from_ref(&path));
            assert_eq!(
                opened == Err(Errno::EPERM),
                is_refused,
                "{}: {opened:?}",
                path.display()
            );
        }
    }
}

/// Says what led to it, however a round ends.
impl Drop for Round {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let all = &self.log;
            println!(
                "the last operations:\n{}",
                all[all.len().saturating_sub(60)..].join("\n")
            );
        }
    }
}

fn number(path: &Path) -> u64 {
    // Through a link: what was made is at its end.
    let meta = fs::metadata(path).or_else(|_| fs::symlink_metadata(path));
    meta.unwrap().ino()
}

pub(crate) fn random_operations_agree_with_a_model(stage: &mut Stage) {
    let mut seed = seed();
    let rounds = told("AEGIS_OPERATIONS")
        .unwrap_or(1_500)
        .div_ceil(OPERATIONS_A_ROUND.into());
    println!("seed {seed}");
    let mut servant = Servant::start();
    for directory in super::file_systems() {
        let mut sum = Tally::default();
        for _ in 0..rounds {
            seed += 1;
            let mut dice = ChaCha8Rng::seed_from_u64(seed);
            let mut round = Round::new(stage, &directory);
            for _ in 0..OPERATIONS_A_ROUND {
                let (operation, takes) = if dice.random_ratio(1, ONE_IN_SO_MANY_EXECUTES) {
                    ("run", 1)
                } else {
                    OPERATIONS[dice.random_range(0..OPERATIONS.len())]
                };
                let paths: Vec<_> = (0..takes).map(|_| round.path(&mut dice)).collect();
                // What executes is a process of its own, and no longer one who may.
                let tally = if operation != "run" && dice.random() {
                    round.by_one_who_may(operation, &paths)
                } else {
                    round.by_a_denied_one(&mut servant, operation, &paths)
                };
                sum.done += tally.done;
                sum.refused += tally.refused;
                sum.failed += tally.failed;
            }
            round.check(&mut servant);
        }
        println!("{:<12} {sum:?}", directory.display());
        assert!(
            sum.done > 100 && sum.refused > 20,
            "hardly anything was tried: {sum:?}"
        );
        assert_eq!(stage.health().fault_bound, 0);
    }
}
