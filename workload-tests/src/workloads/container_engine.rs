//! `container::engine`: `run --rm` on a real engine, with an image made here from busybox: Docker, else Podman, else
//! runc, else crun, whichever brings a container to life on this machine. All of an engine's state is private.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use aegisbpf_measure::workload::{Block, BoxError, Kind, Sample, Session};
use aegisbpf_rig::cgroup::{self, Cgroup};
use nix::sys::signal::Signal;
use serde_json::json;

use crate::{
    cpu::CpuClock,
    service::{Meter, Service},
    workload::{Prepared, Requirement, Workload, find_packaged, find_program, version},
    workloads::{batch, program::class, rootfs},
};

/// Environment variable that names the engine, instead of the first that works.
pub const ENGINE_VARIABLE: &str = "AEGIS_ENGINE";

const BUSYBOX: Requirement = Requirement::StaticBusybox;
const ENGINE: Requirement = Requirement::AnyProgram {
    names: &["dockerd", "podman", "runc", "crun"],
    packages: "runc (or docker.io, podman, crun)",
};
const IMAGE: &str = "aegis:1";

/// An engine, in the order in which they are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Engine {
    Docker,
    Podman,
    Runc,
    Crun,
}

impl Engine {
    const ALL: [Self; 4] = [Self::Docker, Self::Podman, Self::Runc, Self::Crun];

    fn name(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Podman => "podman",
            Self::Runc => "runc",
            Self::Crun => "crun",
        }
    }

    /// Its program. Debian's own comes first: a client of that name may be something else.
    fn program(self) -> Option<PathBuf> {
        let name = self.name();
        ["/usr/bin", "/usr/sbin"]
            .into_iter()
            .find_map(|directory| find_packaged(&format!("{directory}/{name}")))
            .or_else(|| find_program(name))
    }

    /// Those to be tried: the one that was asked for, or all.
    fn wanted() -> Result<Vec<Self>, BoxError> {
        let Ok(name) = env::var(ENGINE_VARIABLE) else {
            return Ok(Self::ALL.to_vec());
        };
        let engine = Self::ALL.into_iter().find(|engine| engine.name() == name);
        engine.map(|engine| vec![engine]).ok_or_else(|| {
            format!("{ENGINE_VARIABLE}={name:?} is not known: use docker, podman, runc or crun")
                .into()
        })
    }
}

/// The workload. One operation is the life of a container: made, run, removed.
#[derive(Debug, Clone, Copy)]
pub struct ContainerEngine;

impl Workload for ContainerEngine {
    fn name(&self) -> &'static str {
        "container::engine"
    }

    fn configuration(&self) -> String {
        let engines: Vec<String> = Engine::wanted()
            .unwrap_or_default()
            .into_iter()
            .filter_map(|engine| Some(version(Some(engine.program()?), "--version")))
            .collect();
        format!("the first that works of {engines:?}, {:?}", rootfs::SCRIPT)
    }

    fn requires(&self) -> &'static [Requirement] {
        &[ENGINE, BUSYBOX, Requirement::Root, Requirement::Cgroup]
    }

    fn prepare(&self, scratch: &Path) -> Result<Prepared, BoxError> {
        let mut reasons = Vec::new();
        for engine in Engine::wanted()? {
            let home = scratch.join(engine.name());
            match EngineSession::prepare(engine, &home) {
                Ok(session) => {
                    let passwd = session.passwd.clone();
                    return Ok(Prepared::new(session, vec![passwd]));
                }
                Err(error) => reasons.push(format!("{}: {error}", engine.name())),
            }
        }
        Err(format!(
            "no engine brings a container to life here: {}",
            reasons.join("; ")
        )
        .into())
    }
}

struct EngineSession {
    engine: Engine,
    program: PathBuf,
    home: PathBuf,
    passwd: PathBuf,
    daemon: Option<(Service, Meter)>,
    /// Its child `client` has the engine's command, `containers` the containers.
    cgroup: Cgroup,
    passes: u32,
    /// The known delay of the next block, if it is a spike-in.
    hold_up: Duration,
}

impl EngineSession {
    fn prepare(engine: Engine, home: &Path) -> Result<Self, BoxError> {
        let program = engine.program().ok_or("not installed")?;
        fs::create_dir(home)?;
        let cgroup = Cgroup::new(engine.name())?;
        // Apart from each other: on cgroup2 only a directory without processes of its own can limit those below it.
        for child in ["client", "containers"] {
            fs::create_dir(cgroup.path().join(child))?;
        }
        let daemon = match engine {
            Engine::Docker => {
                let daemon = start_docker(&program, home)?;
                let meter = daemon.meter()?;
                Some((daemon, meter))
            }
            _ => None,
        };
        let mut session = Self {
            engine,
            program,
            home: home.to_owned(),
            passwd: rootfs::write_passwd(home)?,
            daemon,
            cgroup,
            passes: 1,
            hold_up: Duration::ZERO,
        };
        session.make_image()?;
        session.first_life()?;
        let start = Instant::now();
        session.first_life()?;
        session.passes = batch::passes(start.elapsed());
        Ok(session)
    }

    /// Makes the image, or what stands for one, without a network.
    fn make_image(&self) -> Result<(), BoxError> {
        let root = self.home.join("bundle/rootfs");
        fs::create_dir_all(&root)?;
        rootfs::make(&root)?;
        match self.engine {
            Engine::Docker | Engine::Podman => {
                let archive = self.home.join("image.tar");
                let mut tar = Command::new("tar");
                succeed(tar.arg("-C").arg(&root).arg("-cf").arg(&archive).arg("."))?;
                succeed(self.command().arg("import").arg(archive).arg(IMAGE))
            }
            Engine::Runc | Engine::Crun => {
                let config = self.home.join("bundle/config.json");
                Ok(fs::write(config, self.bundle().to_string())?)
            }
        }
    }

    /// What the runtimes are told that have no images.
    fn bundle(&self) -> serde_json::Value {
        let kinds = ["pid", "network", "ipc", "uts", "mount"];
        let namespaces: Vec<_> = kinds.map(|kind| json!({ "type": kind })).to_vec();
        json!({
            "ociVersion": "1.0.2",
            "process": {
                "terminal": false,
                "user": { "uid": 0, "gid": 0 },
                "args": ["/bin/sh", "-c", rootfs::SCRIPT],
                "env": ["PATH=/bin"],
                "cwd": "/",
                "noNewPrivileges": true,
            },
            "root": { "path": "rootfs", "readonly": true },
            "hostname": "container",
            "mounts": [
                { "destination": "/proc", "type": "proc", "source": "proc" },
                { "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"] },
                { "destination": "/tmp", "type": "tmpfs", "source": "tmpfs" },
                { "destination": "/etc/passwd", "type": "bind", "source": self.passwd, "options": ["bind", "ro"] },
            ],
            "linux": { "cgroupsPath": self.containers().join("life"), "namespaces": namespaces },
        })
    }

    /// The containers' cgroup as the engines name it: from the root of the hierarchy.
    fn containers(&self) -> PathBuf {
        let name = self.cgroup.path().file_name().unwrap_or_default();
        Path::new("/").join(name).join("containers")
    }

    /// The engine's command with its private state.
    fn command(&self) -> Command {
        let home = |name: &str| self.home.join(name);
        let mut command = cgroup::enter(&self.cgroup.path().join("client"), &self.program);
        command.env("LC_ALL", "C").stdin(Stdio::null());
        match self.engine {
            Engine::Docker => {
                command.arg("--host").arg(docker_socket(&self.home));
            }
            Engine::Podman => {
                command.arg("--root").arg(home("root"));
                command.arg("--runroot").arg(home("runroot"));
                command.arg("--tmpdir").arg(home("tmp"));
                command.args(["--cgroup-manager=cgroupfs", "--events-backend=none"]);
                // Debian's default, crun, refuses machines on which version 1 of cgroups is mounted too.
                if !cgroup::mounts("cgroup").is_empty() {
                    command.arg("--runtime=runc");
                }
            }
            Engine::Runc | Engine::Crun => {
                command.arg("--root").arg(home("state"));
            }
        }
        command
    }

    /// The command that is a container's whole life.
    fn run_command(&self) -> Command {
        let mut command = self.command();
        command.arg("run");
        match self.engine {
            Engine::Docker | Engine::Podman => {
                command.args(["--rm", "--network=none", "--cgroup-parent"]);
                command.arg(self.containers()).arg("--volume");
                command.arg(format!("{}:/etc/passwd:ro", self.passwd.display()));
                if self.engine == Engine::Podman {
                    // Its own wishes need CAP_SYS_RESOURCE.
                    command.args(["--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024"]);
                }
                command.args([IMAGE, "/bin/sh", "-c", rootfs::SCRIPT]);
            }
            Engine::Runc | Engine::Crun => {
                command
                    .arg("--bundle")
                    .arg(self.home.join("bundle"))
                    .arg("life");
            }
        }
        command
    }

    /// A life that must succeed.
    fn first_life(&self) -> Result<(), BoxError> {
        let (output, failure) = life(&mut self.run_command())?;
        match failure {
            Some(class) => Err(format!("the first container: {class}").into()),
            None if !rootfs::proves(&output) => {
                Err(format!("the first container said {output:?}").into())
            }
            None => Ok(()),
        }
    }

    /// CPU time of the client, the containers, and the daemon with all that it started.
    fn cpu(&self) -> Result<Duration, BoxError> {
        let daemon = match &self.daemon {
            Some((service, meter)) => service.cpu(meter)?,
            None => Duration::ZERO,
        };
        Ok(self.cgroup.cpu()? + daemon)
    }
}

impl Session for EngineSession {
    fn kind(&self) -> Kind {
        Kind::Batch
    }

    fn run(&mut self, block: &Block) -> Result<Sample, BoxError> {
        if let Some((daemon, _)) = &mut self.daemon {
            daemon.check()?;
        }
        batch::settle(block, || life(&mut self.run_command()))?;
        let own = CpuClock::of_this_thread();
        let (own_before, before, start) = (own.read()?, self.cpu()?, Instant::now());
        let mut unit = batch::Unit::held_up(std::mem::take(&mut self.hold_up));
        for _ in 0..self.passes {
            let (output, failure) = life(&mut self.run_command())?;
            match failure {
                Some(class) => unit.errors(&[class]),
                None => unit.pass(1, rootfs::proves(&output)),
            }
        }
        let wall = start.elapsed();
        let cpu = self.cpu()?.saturating_sub(before);
        Ok(unit.sample(wall, cpu, own.read()?.saturating_sub(own_before)))
    }

    fn opens_per_operation(&self) -> f64 {
        // The least of them, runc, opens some two hundred.
        20.0
    }

    fn hold_up(&mut self, delay: Duration) -> bool {
        self.hold_up = delay;
        true
    }
}

/// Output of a container, and why it failed, if it did.
fn life(command: &mut Command) -> io::Result<(String, Option<String>)> {
    let output = command.output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    let failure = (!output.status.success()).then(|| class(&errors, &output.status.to_string()));
    Ok((
        String::from_utf8_lossy(&output.stdout).into_owned(),
        failure,
    ))
}

fn succeed(command: &mut Command) -> Result<(), BoxError> {
    let (_, failure) = life(command)?;
    failure.map_or(Ok(()), |class| Err(class.into()))
}

fn docker_socket(home: &Path) -> String {
    format!("unix://{}", home.join("docker.sock").display())
}

/// A daemon that knows nothing of the machine's own, and touches neither its bridges nor its firewall.
fn start_docker(client: &Path, home: &Path) -> Result<Service, BoxError> {
    let dockerd = find_packaged("/usr/sbin/dockerd")
        .or_else(|| find_program("dockerd"))
        .ok_or("dockerd is not installed")?;
    let (log, socket) = (home.join("dockerd.log"), docker_socket(home));
    let config = home.join("daemon.json");
    fs::write(&config, "{}")?;
    let daemon = Service::start_in_cgroup("dockerd", Path::new("/bin/sh"), &log, |command| {
        command
            .args(["-c", r#"exec >"$0" 2>&1 && exec "$@""#])
            .arg(&log)
            .arg(dockerd)
            .arg("--config-file")
            .arg(config)
            .arg("--host")
            .arg(&socket);
        for (option, name) in [
            ("--data-root", "data"),
            ("--exec-root", "exec"),
            ("--pidfile", "docker.pid"),
        ] {
            command.arg(option).arg(home.join(name));
        }
        command.args([
            "--iptables=false",
            "--ip6tables=false",
            "--bridge=none",
            "--exec-opt=native.cgroupdriver=cgroupfs",
        ]);
    })?;
    let mut daemon = daemon.stopped_by(Signal::SIGTERM, Duration::from_secs(10));
    let answers = || {
        let mut ask = Command::new(client);
        ask.args(["--host", &socket, "version"])
            .stdin(Stdio::null());
        ask.output().is_ok_and(|output| output.status.success())
    };
    daemon.wait_until(|_| answers(), Duration::from_secs(60))?;
    Ok(daemon)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One life on an engine, if this machine has it; nothing may be left of it.
    fn lives(engine: Engine) {
        let missing = crate::workload::missing(ContainerEngine.requires());
        if !missing.is_empty() || engine.program().is_none() {
            eprintln!("ignored: {missing:?}, {engine:?} {:?}", engine.program());
            return;
        }
        let scratch = crate::scratch::Scratch::new().unwrap();
        let session = match EngineSession::prepare(engine, &scratch.path().join(engine.name())) {
            Ok(session) => session,
            // crun does so where version 1 of cgroups is mounted; and nobody nests engines in every sandbox.
            Err(error) => {
                eprintln!("ignored: {engine:?}: {error}");
                return;
            }
        };
        assert!(session.cpu().unwrap() > Duration::ZERO);
        let name = session.cgroup.path().file_name().unwrap().to_owned();
        drop(session);
        let hierarchies = ["cgroup2", "cgroup"].into_iter().flat_map(cgroup::mounts);
        let left: Vec<PathBuf> = hierarchies
            .map(|mount| mount.join(&name))
            .filter(|path| path.exists())
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }

    #[test]
    fn docker_lives_and_leaves_nothing() {
        lives(Engine::Docker);
    }

    #[test]
    fn podman_lives_and_leaves_nothing() {
        lives(Engine::Podman);
    }

    #[test]
    fn runc_lives_and_leaves_nothing() {
        lives(Engine::Runc);
    }

    #[test]
    fn crun_lives_and_leaves_nothing() {
        lives(Engine::Crun);
    }
}
