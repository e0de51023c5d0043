//! `web::node_api`: a small HTTP API on the real Node.js: it reads a file, answers JSON, and writes a log line.

use std::{
    fs,
    net::TcpStream,
    path::{Path, PathBuf},
    time::Duration,
};

use aegisbpf_measure::workload::{Block, BoxError, Kind, Sample, Session};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::json;

use crate::{
    load::{Generator, Page, Target},
    service::{Clocks, Service},
    workload::{Prepared, Requirement, Workload, find_program, version},
    workloads::web_embedded::{CONNECTIONS, empty, free_address},
};

const NODE: Requirement = Requirement::Program {
    name: "node",
    package: "nodejs",
};
const SCRIPT: &str = include_str!("web_node_api.js");
const ITEMS: usize = 500;
const SEED: u64 = 0x6e6f_6465_6170_6901;

/// The workload. One operation is a request that was answered with the right document.
#[derive(Debug, Clone, Copy)]
pub struct NodeApi;

impl Workload for NodeApi {
    fn name(&self) -> &'static str {
        "web::node_api"
    }

    fn configuration(&self) -> String {
        format!(
            "{ITEMS} items, connections {CONNECTIONS}, data seed {SEED}, script {} bytes, node {}",
            SCRIPT.len(),
            version(find_program("node"), "--version")
        )
    }

    fn requires(&self) -> &'static [Requirement] {
        &[NODE]
    }

    fn prepare(&self, scratch: &Path) -> Result<Prepared, BoxError> {
        let items = scratch.join("items");
        let every = (0..ITEMS).step_by(100);
        let sensitive = every.map(|item| file(&items, item)).collect();
        Ok(Prepared::new(
            NodeSession::prepare(scratch, &items)?,
            sensitive,
        ))
    }
}

struct NodeSession {
    generator: Generator,
    clocks: Clocks,
    node: Service,
    log: PathBuf,
}

impl NodeSession {
    fn prepare(scratch: &Path, items: &Path) -> Result<Self, BoxError> {
        let pages = write_items(items)?;
        let (script, errors, log) = (
            scratch.join("api.js"),
            scratch.join("node.log"),
            scratch.join("access.log"),
        );
        fs::write(&script, SCRIPT)?;
        let address = free_address()?;
        let program = find_program("node").ok_or_else(|| NODE.to_string())?;
        let mut node =
            Service::start_in_cgroup("node", Path::new("/bin/sh"), &errors, |command| {
                command
                    .args(["-c", r#"exec >"$0" 2>&1 && exec "$@""#])
                    .arg(&errors)
                    .arg(program)
                    .arg(&script)
                    .arg(address.port().to_string())
                    .arg(items)
                    .arg(&log)
                    .env("NODE_ENV", "production");
            })?;
        node.wait_until(
            |_| TcpStream::connect(address).is_ok(),
            Duration::from_secs(20),
        )?;
        let generator = Generator::connect(Target { address, pages }, CONNECTIONS)?;
        Ok(Self {
            generator,
            clocks: node.clocks()?,
            node,
            log,
        })
    }
}

impl Session for NodeSession {
    fn kind(&self) -> Kind {
        Kind::Service
    }

    fn run(&mut self, block: &Block) -> Result<Sample, BoxError> {
        self.node.check()?;
        empty(&self.log)?;
        let outcome = self.generator.run(block, &mut || Ok(self.clocks.read()?));
        self.node.check()?;
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

fn file(items: &Path, item: usize) -> PathBuf {
    items.join(format!("{item}.json"))
}

/// Writes the items as an application stores them, and tells what the API must answer.
fn write_items(directory: &Path) -> Result<Vec<Page>, BoxError> {
    fs::create_dir(directory)?;
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    (0..ITEMS)
        .map(|id| {
            let prices: Vec<u32> = (0..rng.random_range(10..60))
                .map(|_| rng.random_range(1..10_000))
                .collect();
            let item = json!({ "id": id, "name": format!("item {id}"), "prices": prices });
            fs::write(file(directory, id), item.to_string())?;
            let total: u32 = prices.iter().sum();
            let answer = format!(
                r#"{{"id":{id},"name":"item {id}","count":{},"total":{total}}}"#,
                prices.len()
            );
            Ok(Page::new(&format!("/items/{id}"), answer.into_bytes()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use aegisbpf_measure::workload::Load;

    use super::*;

    #[test]
    fn an_item_that_cannot_be_read_is_an_error_of_the_server() {
        if !NODE.is_met() {
            eprintln!("ignored: {NODE}");
            return;
        }
        let scratch = tempfile::tempdir().unwrap();
        let items = scratch.path().join("items");
        let mut session = NodeSession::prepare(scratch.path(), &items).unwrap();
        let block = Block {
            seed: 1,
            settle: Duration::ZERO,
            window: Duration::from_millis(300),
            load: Load::Open { rate: 100.0 },
        };
        let sample = session.run(&block).unwrap();
        assert_eq!((sample.operations, sample.errors.len()), (30, 0));
        fs::remove_dir_all(items).unwrap();
        let sample = session.run(&block).unwrap();
        assert_eq!(sample.operations, 0);
        assert_eq!(sample.errors.keys().collect::<Vec<_>>(), ["http 404"]);
    }
}
