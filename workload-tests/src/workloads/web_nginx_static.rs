//! `web::nginx_static`: the real nginx, started from a private directory on a free loopback port.

use std::{
    fs,
    net::TcpStream,
    path::{Path, PathBuf},
    time::Duration,
};

use aegisbpf_measure::workload::{Block, BoxError, Kind, Sample, Session};
use nix::unistd::Uid;

use crate::{
    load::{Generator, Target},
    service::{Clocks, Service},
    workload::{Prepared, Requirement, Workload, find_program, version},
    workloads::web_embedded::{
        CONNECTIONS, FILE_SIZE, FILES, SEED, empty, free_address, one_in_a_hundred, pages,
    },
};

const NGINX: Requirement = Requirement::Program {
    name: "nginx",
    package: "nginx-light",
};

/// The workload.
#[derive(Debug, Clone, Copy)]
pub struct NginxStatic;

impl Workload for NginxStatic {
    fn name(&self) -> &'static str {
        "web::nginx_static"
    }

    fn configuration(&self) -> String {
        format!(
            "files {FILES} x {FILE_SIZE}, connections {CONNECTIONS}, data seed {SEED}, worker 1, {}",
            version(find_program("nginx"), "-v")
        )
    }

    fn requires(&self) -> &'static [Requirement] {
        &[NGINX]
    }

    fn prepare(&self, scratch: &Path) -> Result<Prepared, BoxError> {
        let session = NginxSession::prepare(scratch)?;
        Ok(Prepared::new(
            session,
            one_in_a_hundred(&scratch.join("www")),
        ))
    }
}

struct NginxSession {
    generator: Generator,
    clocks: Clocks,
    nginx: Service,
    log: PathBuf,
}

impl NginxSession {
    fn prepare(scratch: &Path) -> Result<Self, BoxError> {
        let pages = pages(&scratch.join("www"))?;
        let address = free_address()?;
        let (config, errors) = (scratch.join("nginx.conf"), scratch.join("error.log"));
        fs::create_dir_all(scratch.join("temp"))?;
        fs::write(&config, configuration_file(scratch, address.port()))?;
        let program = find_program("nginx").ok_or_else(|| NGINX.to_string())?;
        let mut nginx = Service::start_in_cgroup("nginx", &program, &errors, |command| {
            command.arg("-p").arg(scratch).arg("-e").arg(&errors);
            command.arg("-c").arg(&config);
        })?;
        // Master and worker: the clocks must know both. The port answers as soon as the master listens.
        nginx.wait_until(
            |nginx| nginx.processes().len() == 2 && TcpStream::connect(address).is_ok(),
            Duration::from_secs(10),
        )?;
        let generator = Generator::connect(Target { address, pages }, CONNECTIONS)?;
        Ok(Self {
            generator,
            clocks: nginx.clocks()?,
            nginx,
            log: scratch.join("access.log"),
        })
    }
}

impl Session for NginxSession {
    fn kind(&self) -> Kind {
        Kind::Service
    }

    fn run(&mut self, block: &Block) -> Result<Sample, BoxError> {
        self.nginx.check()?;
        empty(&self.log)?;
        let outcome = self.generator.run(block, &mut || Ok(self.clocks.read()?));
        // A dead server explains a failed run better than a refused connection does.
        self.nginx.check()?;
        outcome
    }

    fn opens_per_operation(&self) -> f64 {
        1.0
    }

    fn hold_up(&mut self, delay: Duration) -> bool {
        self.generator.hold_up(delay);
        true
    }
}

/// Debian's defaults as far as they matter to the load; everything that is written goes to the private directory.
fn configuration_file(scratch: &Path, port: u16) -> String {
    let scratch = scratch.display();
    // As root the worker would become `nobody`, who cannot enter a private directory.
    let user = if Uid::effective().is_root() {
        "user root root;"
    } else {
        ""
    };
    format!(
        r#"{user}
daemon off;
worker_processes 1;
pid "{scratch}/nginx.pid";
events {{ worker_connections 64; }}
http {{
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
    open_file_cache off;
    default_type application/octet-stream;
    access_log "{scratch}/access.log" combined;
    client_body_temp_path "{scratch}/temp/body";
    proxy_temp_path "{scratch}/temp/proxy";
    fastcgi_temp_path "{scratch}/temp/fastcgi";
    uwsgi_temp_path "{scratch}/temp/uwsgi";
    scgi_temp_path "{scratch}/temp/scgi";
    server {{
        listen 127.0.0.1:{port};
        root "{scratch}/www";
    }}
}}
"#
    )
}

#[cfg(test)]
mod tests {
    use aegisbpf_measure::workload::Load;
    use nix::sys::signal::{Signal, kill};

    use super::*;

    const BLOCK: Block = Block {
        seed: 1,
        settle: Duration::from_millis(50),
        window: Duration::from_millis(200),
        load: Load::Closed,
    };

    fn session() -> Option<(tempfile::TempDir, NginxSession)> {
        if !NGINX.is_met() {
            eprintln!("ignored: {NGINX}");
            return None;
        }
        let scratch = tempfile::tempdir().unwrap();
        let session = NginxSession::prepare(scratch.path()).unwrap();
        Some((scratch, session))
    }

    #[test]
    fn nginx_serves_verified_files_and_leaves_no_process() {
        let Some((_scratch, mut session)) = session() else {
            return;
        };
        let sample = session.run(&BLOCK).unwrap();
        assert!(
            sample.operations > 0 && sample.errors.is_empty(),
            "{:?}",
            sample.errors
        );
        assert!(
            sample.cpu > Duration::ZERO && sample.cpu <= sample.wall,
            "{sample:?}"
        );
        let processes = session.nginx.processes();
        assert_eq!(processes.len(), 2);
        drop(session);
        assert!(
            processes
                .iter()
                .all(|process| !Path::new(&format!("/proc/{process}")).exists())
        );
    }

    #[test]
    fn a_killed_nginx_is_reported() {
        let Some((_scratch, mut session)) = session() else {
            return;
        };
        kill(session.nginx.pid(), Signal::SIGKILL).unwrap();
        let error = session
            .nginx
            .wait_until(|_| false, Duration::from_secs(10))
            .unwrap_err();
        assert!(
            error.to_string().contains("nginx ended (signal: 9"),
            "{error}"
        );
        assert!(
            session
                .run(&BLOCK)
                .unwrap_err()
                .to_string()
                .contains("nginx ended")
        );
    }

    #[test]
    fn a_killed_worker_is_reported_even_if_the_master_replaces_it() {
        let Some((_scratch, mut session)) = session() else {
            return;
        };
        let worker = session
            .nginx
            .processes()
            .into_iter()
            .find(|&process| process != session.nginx.pid())
            .unwrap();
        kill(worker, Signal::SIGKILL).unwrap();
        let error = session.run(&BLOCK).unwrap_err();
        assert!(error.to_string().contains("nginx"), "{error}");
    }

    #[test]
    fn a_file_that_changed_counts_as_an_error_and_not_as_an_operation() {
        let Some((scratch, mut session)) = session() else {
            return;
        };
        for entry in fs::read_dir(scratch.path().join("www")).unwrap() {
            fs::write(entry.unwrap().path(), vec![0; FILE_SIZE]).unwrap();
        }
        let sample = session.run(&BLOCK).unwrap();
        assert_eq!(sample.operations, 0);
        assert_eq!(sample.errors.keys().collect::<Vec<_>>(), ["wrong body"]);
    }
}
