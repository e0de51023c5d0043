//! What applying a policy costs: CPU time, waiting, memory in the kernel and in this process.
//!
//! ```sh
//! cargo run --release -p aegisbpf-core --example apply_cost -- 10000 inodes
//! cargo run --release -p aegisbpf-core --example apply_cost -- 10000 paths /sys/fs/bpf/apply-cost
//! ```
//!
//! With a directory in a bpf file system the enforcer is pinned there, which keeps the policy's words too; it is removed
//! at the end. It audits with the tracepoint backend, and its rules are about files that nobody opens.

use std::{error::Error, fmt::Write, fs, time::Instant};

use aegisbpf_core::{Backend, Enforcer, Policy};
use nix::sys::{
    resource::{UsageWho, getrusage},
    time::TimeValLike,
};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let count: u32 = args.next().unwrap_or_else(|| "10000".into()).parse()?;
    let paths = args.next().is_some_and(|kind| kind == "paths");
    let folder = std::env::temp_dir().join(format!("apply-cost-{}", std::process::id()));
    fs::create_dir(&folder)?;
    let outcome = measure(count, paths, &folder, args.next());
    fs::remove_dir_all(&folder)?;
    outcome
}

fn measure(
    count: u32,
    paths: bool,
    folder: &std::path::Path,
    pin: Option<String>,
) -> Result<(), Box<dyn Error>> {
    let mut text = String::from("version=1\n");
    text.push_str(if paths {
        "[deny_path]\n"
    } else {
        "[deny_inode]\n"
    });
    for n in 0..count {
        if paths {
            let file = folder.join(format!("a-file-that-nobody-opens-{n:07}"));
            fs::write(&file, "")?;
            writeln!(text, "{}", file.display())?;
        } else {
            // A device that no machine has.
            writeln!(text, "4293918720:{}", u64::from(n) + 1)?;
        }
    }
    let mut clock = Clock::start();
    let policy = Policy::parse(&text, "apply_cost")?;
    clock.lap("parse");
    let mut builder = Enforcer::builder()
        .backend(Backend::Tracepoint)
        .event_sample_rate(0)
        .rule_capacity(count + 1);
    if let Some(base) = pin {
        builder = builder.pin(base);
    }
    let mut aegis = builder.attach()?;
    clock.lap("load");
    aegis.apply(&policy)?;
    clock.lap("apply");
    aegis.apply(&policy)?;
    clock.lap("apply again");
    let one: Policy = "version=1\n[deny_inode]\n4293918720:4294967297\n".parse()?;
    aegis.add(&one)?;
    clock.lap("add one");
    aegis.remove(&one)?;
    clock.lap("remove one");
    let stats = aegis.stats()?;
    clock.lap("stats");
    println!("kernel memory {:>8} KiB", stats.kernel_memory / 1024);
    for part in stats.memory.iter().filter(|part| part.bytes >= 64 << 10) {
        println!("  {:<28} {:>8} KiB", part.of, part.bytes / 1024);
    }
    let most = getrusage(UsageWho::RUSAGE_SELF)?.max_rss();
    println!("this process at most {most:>8} KiB");
    aegis.unpin()?;
    clock.lap("end");
    Ok(())
}

struct Clock {
    wall: Instant,
    cpu: i64,
}

impl Clock {
    fn start() -> Self {
        Self {
            wall: Instant::now(),
            cpu: cpu_micros(),
        }
    }

    fn lap(&mut self, what: &str) {
        let now = Self::start();
        println!(
            "{what:<12} cpu {:>9.1} ms, wall {:>9.1} ms",
            (now.cpu - self.cpu) as f64 / 1e3,
            (now.wall - self.wall).as_secs_f64() * 1e3
        );
        *self = now;
    }
}

fn cpu_micros() -> i64 {
    getrusage(UsageWho::RUSAGE_SELF).map_or(0, |usage| {
        (usage.user_time() + usage.system_time()).num_microseconds()
    })
}
