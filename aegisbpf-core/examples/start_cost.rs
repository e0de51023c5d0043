//! How long it takes to load the programs, to apply a policy, to attach and to detach: `start_cost [BACKEND]`.

use std::time::Instant;

use aegisbpf_core::{Backend, Enforcer, Policy};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let backend = match std::env::args().nth(1).as_deref() {
        Some("tracepoint") => Backend::Tracepoint,
        _ => Backend::Lsm,
    };
    let policy: Policy = "version=1\n[deny_path]\n/etc/shadow\n/etc/gshadow\n".parse()?;
    let mut start = Instant::now();
    let mut step = |name: &str| {
        println!("{name:<8} {:8.1} ms", start.elapsed().as_secs_f64() * 1e3);
        start = Instant::now();
    };
    let mut aegis = Enforcer::builder().backend(backend).load()?;
    step("load");
    aegis.apply(&policy)?;
    step("apply");
    aegis.attach()?;
    step("attach");
    aegis.apply(&policy)?;
    step("again");
    aegis.detach()?;
    step("detach");
    drop(aegis);
    step("unload");
    Ok(())
}
