//! What the builds share: units that are compiled to a tmpfs, and objects that must come out the same each time.

use std::{
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use aegisbpf_measure::workload::{self, Block, BoxError, Kind, Sample, Session};
use aegisbpf_rig::cgroup::Cgroup;
use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sys::resource::{UsageWho, getrusage},
    sys::time::TimeValLike,
};

use crate::{cpu::CpuClock, workload::Prepared, workloads::program::class};

/// A unit is at the least preprocessed from so many files: itself and the headers that it names.
const OPENS: f64 = 20.0;

/// One source file and its object.
#[derive(Debug, Clone)]
pub(crate) struct Unit {
    pub(crate) source: PathBuf,
    /// Name of the object, in the directory of objects.
    pub(crate) object: String,
}

/// How units become objects.
pub(crate) trait Builder {
    /// The commands that build these units, to be run side by side.
    fn commands(
        &self,
        units: &[Unit],
        objects: &Path,
        start: &dyn Fn(&Path) -> Command,
    ) -> Vec<Command>;
}

/// A build's session.
pub(crate) struct Build<B> {
    builder: B,
    units: Vec<Unit>,
    /// What the objects must be, unit by unit.
    reference: Vec<u64>,
    objects: Tmpfs,
    cgroup: Option<Cgroup>,
    /// Time to waste in the next block: the known delay of a spike-in.
    hold_up: Duration,
}

impl<B: Builder + 'static> Build<B> {
    /// Builds more and more of the units until one build takes as long as asked for; a block builds so many.
    pub(crate) fn prepare(
        builder: B,
        units: Vec<Unit>,
        scratch: &Path,
        target: Duration,
        sensitive: PathBuf,
    ) -> Result<Prepared, BoxError> {
        let cpus = thread::available_parallelism().map_or(1, usize::from);
        let all = units.len();
        let mut build = Self {
            builder,
            units,
            reference: Vec::new(),
            objects: Tmpfs::new(scratch.join("objects"))?,
            cgroup: Cgroup::new("build").ok(),
            hold_up: Duration::ZERO,
        };
        let sources = build.units.clone();
        let mut count = cpus.min(all);
        loop {
            build.units = sources[..count].to_vec();
            let begin = Instant::now();
            if let Some(class) = build.build()? {
                return Err(format!("the first build: {class}").into());
            }
            let took = begin.elapsed().as_secs_f64();
            if count == all || took > 0.75 * target.as_secs_f64() {
                break;
            }
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                clippy::cast_precision_loss,
                reason = "a few hundred units at most"
            )]
            let next =
                (count as f64 * target.as_secs_f64() / took.max(1e-3)).min(all as f64) as usize;
            count = next.clamp(count + 1, all);
        }
        build.reference = build
            .hashes()
            .into_iter()
            .map(Option::unwrap_or_default)
            .collect();
        Ok(Prepared::new(build, vec![sensitive]))
    }

    /// Removes the objects and makes them again. Tells why they are not all there, if so.
    fn build(&self) -> Result<Option<String>, BoxError> {
        for unit in &self.units {
            match fs::remove_file(self.objects.0.join(&unit.object)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        let start = |program: &Path| {
            let mut command = match &self.cgroup {
                Some(cgroup) => cgroup.command(program),
                None => Command::new(program),
            };
            command.env("LC_ALL", "C").stdin(Stdio::null());
            command
        };
        let commands = self.builder.commands(&self.units, &self.objects.0, &start);
        let outcomes: Vec<io::Result<Option<String>>> = thread::scope(|scope| {
            let threads: Vec<_> = commands
                .into_iter()
                .map(|mut command| scope.spawn(move || run(&mut command)))
                .collect();
            let panicked = || Err(io::Error::other("a compiling thread panicked"));
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|_| panicked()))
                .collect()
        });
        let mut failure = None;
        for outcome in outcomes {
            failure = failure.or(outcome?);
        }
        Ok(failure)
    }

    fn hashes(&self) -> Vec<Option<u64>> {
        let hash = |unit: &Unit| {
            let bytes = fs::read(self.objects.0.join(&unit.object)).ok()?;
            let mut hasher = DefaultHasher::new();
            bytes.hash(&mut hasher);
            Some(hasher.finish())
        };
        self.units.iter().map(hash).collect()
    }
}

/// Runs a command; why it failed, if it did.
fn run(command: &mut Command) -> io::Result<Option<String>> {
    let output = command.output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    Ok((!output.status.success()).then(|| class(&errors, &output.status.to_string())))
}

impl<B: Builder + 'static> Session for Build<B> {
    fn kind(&self) -> Kind {
        Kind::Batch
    }

    fn run(&mut self, block: &Block) -> Result<Sample, BoxError> {
        // Compilers keep nothing from one run to the next but the page cache, so there is nothing to warm up.
        thread::sleep(block.settle);
        let own = CpuClock::of_this_thread();
        let (own_before, before) = (own.read()?, children()?);
        let begin = Instant::now();
        let failure = self.build()?;
        workload::hold_up(std::mem::take(&mut self.hold_up));
        let wall = begin.elapsed();
        let mut sample = Sample {
            wall,
            cpu: children()?.saturating_sub(before),
            generator_cpu: own.read()?.saturating_sub(own_before),
            ..Sample::default()
        };
        // The proof, outside of the measured time.
        for (hash, reference) in self.hashes().into_iter().zip(&self.reference) {
            let class = match (hash, &failure) {
                (Some(hash), _) if hash == *reference => {
                    sample.operations += 1;
                    continue;
                }
                (None, Some(class)) => class.clone(),
                (None, None) => "no object".to_owned(),
                (Some(_), _) => "another object".to_owned(),
            };
            *sample.errors.entry(class).or_default() += 1;
        }
        Ok(sample)
    }

    fn opens_per_operation(&self) -> f64 {
        OPENS
    }

    fn hold_up(&mut self, delay: Duration) -> bool {
        self.hold_up = delay;
        true
    }
}

/// CPU time of all children that were waited for, by us or by children of ours: exact, and nobody else has any.
fn children() -> nix::Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Ok(Duration::from_micros(micros.unsigned_abs()))
}

/// A memory file system of its own, so that the disk has no part in it.
struct Tmpfs(PathBuf);

impl Tmpfs {
    fn new(path: PathBuf) -> io::Result<Self> {
        fs::create_dir(&path)?;
        let tmpfs = Some("tmpfs");
        mount(tmpfs, &path, tmpfs, MsFlags::empty(), Some("size=512m"))?;
        Ok(Self(path))
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}
