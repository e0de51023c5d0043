//! `container::embedded`: the life of a container, made by the harness itself: namespaces, an overlay of its own, a
//! cgroup, a changed root, and a static program in it.
//!
//! Threads stand in for a runtime's processes. One has new namespaces and mounts in them, so that its mounts vanish
//! with it even if we are killed; a second one changes its root and starts the program.

use std::{
    fs,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use aegisbpf_measure::workload::{Block, BoxError, Kind, Sample, Session};
use aegisbpf_rig::cgroup::Cgroup;
use nix::{
    errno::Errno,
    mount::{MntFlags, MsFlags, mount, umount2},
    sched::{CloneFlags, unshare},
    unistd::{chdir, chroot, sethostname},
};

use crate::{
    cpu::CpuClock,
    workload::{Prepared, Requirement, Workload, version},
    workloads::{batch, program::class, rootfs},
};

/// The workload. One operation is the life of a container.
#[derive(Debug, Clone, Copy)]
pub struct Embedded;

impl Workload for Embedded {
    fn name(&self) -> &'static str {
        "container::embedded"
    }

    fn configuration(&self) -> String {
        format!(
            "mnt, uts, ipc, net, cgroup and pid namespaces, overlay, {:?}, {}",
            rootfs::SCRIPT,
            version(rootfs::busybox(), "--help")
        )
    }

    fn requires(&self) -> &'static [Requirement] {
        &[Requirement::Root, Requirement::Cgroup]
    }

    fn prepare(&self, scratch: &Path) -> Result<Prepared, BoxError> {
        let image = scratch.join("image");
        rootfs::make(&image)?;
        let passwd = rootfs::write_passwd(scratch)?;
        let mut session = EmbeddedSession {
            scratch: scratch.to_owned(),
            image,
            passwd: passwd.clone(),
            passes: 1,
            hold_up: Duration::ZERO,
        };
        session.first_life()?;
        let start = Instant::now();
        session.first_life()?;
        session.passes = batch::passes(start.elapsed());
        Ok(Prepared::new(session, vec![passwd]))
    }
}

struct EmbeddedSession {
    scratch: PathBuf,
    image: PathBuf,
    passwd: PathBuf,
    passes: u32,
    /// The known delay of the next block, if it is a spike-in.
    hold_up: Duration,
}

/// How a container lived.
struct Life {
    output: String,
    cpu: Duration,
    failure: Option<String>,
}

/// What stops a container from coming to life: what was tried, and the system's word.
#[derive(Debug, thiserror::Error)]
#[error("{doing}: {source}")]
struct LifeError {
    doing: &'static str,
    source: io::Error,
}

fn doing<E: Into<io::Error>>(doing: &'static str) -> impl FnOnce(E) -> LifeError {
    move |source| LifeError {
        doing,
        source: source.into(),
    }
}

impl EmbeddedSession {
    /// A life that must succeed.
    fn first_life(&self) -> Result<(), BoxError> {
        let life = self.life()?;
        match life.failure {
            Some(class) => Err(format!("the first container: {class}").into()),
            None if !rootfs::proves(&life.output) => {
                Err(format!("the first container said {:?}", life.output).into())
            }
            None => Ok(()),
        }
    }

    /// From nothing to nothing. Only what the harness itself needs is an error; what the container is refused is its
    /// failure.
    fn life(&self) -> Result<Life, BoxError> {
        let cgroup = Cgroup::new("container")?;
        let container = Container {
            image: &self.image,
            passwd: &self.passwd,
            home: self.scratch.join("container"),
            cgroup: &cgroup,
        };
        // A thread that has left its namespaces cannot come back, so each life has its own.
        let (outcome, own) = thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let clock = CpuClock::of_this_thread();
                let outcome = container.live();
                (outcome, clock.read())
            });
            thread.join().map_err(|_| "the container's thread panicked")
        })?;
        let cpu = own? + cgroup.cpu()?;
        match fs::remove_dir_all(&container.home) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        let (output, failure) = match outcome {
            Ok((output, failure)) => (output, failure),
            Err(error) => (
                String::new(),
                Some(format!("{}: {}", error.doing, error.source.kind())),
            ),
        };
        Ok(Life {
            output,
            cpu,
            failure,
        })
    }
}

/// One container, seen from the thread that makes it.
struct Container<'a> {
    image: &'a Path,
    passwd: &'a Path,
    home: PathBuf,
    cgroup: &'a Cgroup,
}

impl Container<'_> {
    fn live(&self) -> Result<(String, Option<String>), LifeError> {
        unshare(
            CloneFlags::CLONE_NEWNS
                | CloneFlags::CLONE_NEWUTS
                | CloneFlags::CLONE_NEWIPC
                | CloneFlags::CLONE_NEWNET
                | CloneFlags::CLONE_NEWCGROUP,
        )
        .map_err(doing("unshare"))?;
        let root = self.mount_root()?;
        sethostname("container").map_err(doing("sethostname"))?;
        let lived = self.run(&root);
        // Not left to the end of the namespace, which the kernel comes to when it likes.
        umount2(&root, MntFlags::MNT_DETACH).map_err(doing("unmounting the root"))?;
        lived
    }

    fn mount_root(&self) -> Result<PathBuf, LifeError> {
        let none = None::<&str>;
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(none, "/", none, private, none).map_err(doing("making the mounts private"))?;
        let [upper, work, root] = ["upper", "work", "root"].map(|name| self.home.join(name));
        for directory in [&upper, &work, &root] {
            fs::create_dir_all(directory).map_err(doing("making the container's directories"))?;
        }
        let layers = format!(
            "lowerdir={},upperdir={},workdir={}",
            self.image.display(),
            upper.display(),
            work.display()
        );
        let overlay = Some("overlay");
        mount(
            overlay,
            &root,
            overlay,
            MsFlags::empty(),
            Some(layers.as_str()),
        )
        .map_err(doing("mounting the overlay"))?;
        mount(
            Some(self.passwd),
            &root.join("etc/passwd"),
            none,
            MsFlags::MS_BIND,
            none,
        )
        .map_err(doing("binding /etc/passwd"))?;
        mount(
            Some("tmpfs"),
            &root.join("tmp"),
            Some("tmpfs"),
            MsFlags::empty(),
            none,
        )
        .map_err(doing("mounting /tmp"))?;
        Ok(root)
    }

    /// Runs the program in the root, and waits for its end.
    fn run(&self, root: &Path) -> Result<(String, Option<String>), LifeError> {
        let child = thread::scope(|scope| {
            // The new root is this thread's alone; and only it may have a new pid namespace, since a thread that has
            // one can start no further thread.
            let starter = scope.spawn(|| {
                unshare(CloneFlags::CLONE_FS | CloneFlags::CLONE_NEWPID)?;
                chroot(root)?;
                chdir("/")?;
                Command::new("/bin/sh")
                    .args(["-c", &format!("read -r go; {}", rootfs::SCRIPT)])
                    .env_clear()
                    .env("PATH", "/bin")
                    .stdin(Stdio::piped())
                    .stdout(Stdio::piped())
                    .stderr(Stdio::piped())
                    .spawn()
            });
            starter.join().unwrap_or_else(|_| Err(Errno::EIO.into()))
        });
        let mut child = Contained(child.map_err(doing("starting the program"))?);
        let procs = self.cgroup.path().join("cgroup.procs");
        fs::write(procs, child.0.id().to_string()).map_err(doing("entering the cgroup"))?;
        if let Some(mut stdin) = child.0.stdin.take() {
            stdin
                .write_all(b"go\n")
                .map_err(doing("starting the program"))?;
        }
        let read = |pipe: Option<&mut dyn Read>| {
            let mut text = String::new();
            pipe.map_or(Ok(0), |pipe| pipe.read_to_string(&mut text))
                .map(|_| text)
        };
        let stdout = child.0.stdout.as_mut().map(|pipe| pipe as &mut dyn Read);
        let output = read(stdout).map_err(doing("reading the output"))?;
        let stderr = child.0.stderr.as_mut().map(|pipe| pipe as &mut dyn Read);
        let errors = read(stderr).map_err(doing("reading the output"))?;
        let status = child.0.wait().map_err(doing("waiting for the program"))?;
        let failure = (!status.success()).then(|| class(&errors, &status.to_string()));
        Ok((output, failure))
    }
}

/// The container's first process, which does not outlive the reading of its output.
struct Contained(Child);

impl Drop for Contained {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Session for EmbeddedSession {
    fn kind(&self) -> Kind {
        Kind::Batch
    }

    fn run(&mut self, block: &Block) -> Result<Sample, BoxError> {
        batch::settle(block, || self.life())?;
        let own = CpuClock::of_this_thread();
        let (start, own_before) = (Instant::now(), own.read()?);
        let mut cpu = Duration::ZERO;
        let mut unit = batch::Unit::held_up(std::mem::take(&mut self.hold_up));
        for _ in 0..self.passes {
            let life = self.life()?;
            cpu += life.cpu;
            match life.failure {
                Some(class) => unit.errors(&[class]),
                None => unit.pass(1, rootfs::proves(&life.output)),
            }
        }
        Ok(unit.sample(start.elapsed(), cpu, own.read()?.saturating_sub(own_before)))
    }

    fn opens_per_operation(&self) -> f64 {
        // The program, the directory, the users.
        2.0
    }

    fn hold_up(&mut self, delay: Duration) -> bool {
        self.hold_up = delay;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_sees_its_own_root_and_leaves_nothing() {
        let missing = crate::workload::missing(Embedded.requires());
        if !missing.is_empty() {
            eprintln!("ignored: {missing:?}");
            return;
        }
        let scratch = tempfile::tempdir().unwrap();
        // Others mount and unmount things of their own meanwhile.
        let mounts = || fs::read_to_string("/proc/self/mounts").unwrap();
        let is_mounted = || mounts().contains(scratch.path().to_str().unwrap());
        let mut prepared = Embedded.prepare(scratch.path()).unwrap();
        let block = Block {
            seed: 1,
            settle: Duration::ZERO,
            window: Duration::ZERO,
            load: aegisbpf_measure::workload::Load::Closed,
        };
        let sample = prepared.session.run(&block).unwrap();
        assert!(
            sample.operations > 0 && sample.errors.is_empty(),
            "{:?}",
            sample.errors
        );
        assert!(sample.cpu > Duration::ZERO);
        drop(prepared);
        assert!(!is_mounted(), "{}", mounts());
        assert!(!scratch.path().join("container").exists());
        fs::remove_file(scratch.path().join("image/bin/sh")).unwrap();
        let session = EmbeddedSession {
            scratch: scratch.path().to_owned(),
            image: scratch.path().join("image"),
            passwd: scratch.path().join("passwd"),
            passes: 1,
            hold_up: Duration::ZERO,
        };
        let life = session.life().unwrap();
        assert_eq!(
            life.failure.as_deref(),
            Some("starting the program: entity not found")
        );
    }
}
