//! Dose and response: an "enforcer" whose price is known, because we chose it. Proves the measuring on a real kernel.
//!
//! The guard attaches a program with 0, 1, 4, … hash look-ups where openat(2) returns; the session opens files. What the
//! paired estimate and the attribution find must grow with the dose, in a straight line.

use std::{
    fs::File,
    os::unix::net::UnixListener,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use aegisbpf_core::{Backend, dose::Dose};
use aegisbpf_measure::{
    Plan, Record, Silent,
    guard::{EmptyProgram, Evidence, Guard, Identity, Memory, Runs},
    run,
    workload::{self, Block, BoxError, Half, Kind, Sample, Session},
};

use crate::{cpu::CpuClock, guard::empty};

/// Where the program is attached.
const HOOK: &str = "tracepoint/syscalls/sys_exit_openat";

/// So many look-ups for each open.
pub struct DoseGuard {
    dose: Dose,
    lookups: u32,
    /// Opening a socket fails in a way that the program counts.
    socket: PathBuf,
    empty: Option<EmptyProgram>,
    _listener: UnixListener,
}

impl DoseGuard {
    /// Loads the program. `scratch` takes a socket; `empty` is what [`empty::measure`] found, the same for all doses of a
    /// series.
    ///
    /// # Errors
    /// If this kernel does not load it.
    pub fn load(
        lookups: u32,
        scratch: &Path,
        empty: Option<EmptyProgram>,
    ) -> Result<Self, BoxError> {
        let socket = scratch.join(format!("dose-{lookups}"));
        Ok(Self {
            dose: Dose::load(lookups)?,
            lookups,
            empty,
            _listener: UnixListener::bind(&socket)?,
            socket,
        })
    }
}

impl Guard for DoseGuard {
    fn identity(&self) -> Identity {
        Identity {
            name: "dose".to_owned(),
            version: "1".to_owned(),
            backend: "tracepoint".to_owned(),
            mode: "audit".to_owned(),
            policy: format!("{} look-ups", self.lookups),
            policy_sha256: String::new(),
            hooks: vec![HOOK.to_owned()],
        }
    }

    fn protect(&mut self) -> Result<(), BoxError> {
        Ok(self.dose.attach()?)
    }

    fn release(&mut self) -> Result<(), BoxError> {
        Ok(self.dose.detach()?)
    }

    fn evidence(&mut self) -> Result<Evidence, BoxError> {
        let links = self.dose.is_attached().then(|| HOOK.to_owned());
        let (count, nanos) = self.dose.runs()?;
        let touched = self.dose.touched()?;
        Ok(Evidence {
            links: links.into_iter().collect(),
            hits: touched,
            blocks: touched,
            runs: [(HOOK.to_owned(), Runs { count, nanos })].into(),
            ..Evidence::default()
        })
    }

    fn touch_denied(&mut self) -> Result<(), BoxError> {
        match File::open(&self.socket) {
            Ok(_) => Err("a socket was opened as a file".into()),
            Err(_) => Ok(()),
        }
    }

    fn count_runs(&mut self, on: bool) -> Result<(), BoxError> {
        Ok(self.dose.count_runs(on)?)
    }

    fn memory(&mut self) -> Result<Option<Memory>, BoxError> {
        Ok(None)
    }

    fn calibrate(&mut self) -> Result<Option<EmptyProgram>, BoxError> {
        Ok(self.empty)
    }
}

/// Opens one directory again and again, in this thread.
pub struct Opens {
    /// In one block.
    each: u64,
    hold_up: Duration,
}

impl Opens {
    fn pass(operations: u64) -> Result<Half, BoxError> {
        let begin = Instant::now();
        for _ in 0..operations {
            File::open("/")?;
        }
        Ok(Half {
            operations,
            wall: begin.elapsed(),
        })
    }
}

impl Session for Opens {
    fn kind(&self) -> Kind {
        Kind::Batch
    }

    fn run(&mut self, block: &Block) -> Result<Sample, BoxError> {
        let settled = Instant::now() + block.settle;
        while Instant::now() < settled {
            Self::pass(100)?;
        }
        let clock = CpuClock::of_this_thread();
        let (cpu, begin) = (clock.read()?, Instant::now());
        let first = Self::pass(self.each / 2)?;
        workload::hold_up(std::mem::take(&mut self.hold_up));
        let second = Self::pass(self.each / 2)?;
        Ok(Sample {
            operations: first.operations + second.operations,
            wall: begin.elapsed(),
            cpu: clock.read()?.saturating_sub(cpu),
            halves: Some([first, second]),
            ..Sample::default()
        })
    }

    fn opens_per_operation(&self) -> f64 {
        1.0
    }

    fn hold_up(&mut self, delay: Duration) -> bool {
        self.hold_up = delay;
        true
    }
}

/// What one dose was found to cost, per open, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Response {
    /// The dose.
    pub lookups: u32,
    /// An open without it.
    pub bare: f64,
    /// The paired estimate.
    pub paired: f64,
    /// Its 95 % interval.
    pub interval: (f64, f64),
    /// By the kernel's run statistics, corrected by the empty program.
    pub direct: f64,
    /// How far apart the two are, in standard errors.
    pub z: f64,
}

/// Measures these doses one after the other, with so many quads each, of blocks with so many opens.
///
/// # Errors
/// If the kernel refuses the program, or the numbers give no estimate.
pub fn respond(
    doses: &[u32],
    quads: u32,
    opens: u64,
    scratch: &Path,
) -> Result<Vec<Response>, BoxError> {
    let empty = empty::measure(Backend::Tracepoint)?;
    doses
        .iter()
        .map(|lookups| {
            let guard = DoseGuard::load(*lookups, scratch, empty)?;
            response(*lookups, &measure(guard, quads, opens)?)
        })
        .collect()
}

fn measure(mut guard: DoseGuard, quads: u32, opens: u64) -> Result<Record, BoxError> {
    let mut plan = Plan::new("dose::opens", guard.identity());
    (plan.min_quads, plan.max_quads) = (quads, quads);
    plan.looks = vec![quads];
    plan.budget = Duration::from_secs(600);
    // Verdicts are not what is asked for.
    (plan.placebo_every, plan.spike_every) = (0, 0);
    plan.exclude_steal_percent = 100.0;
    plan.warmup_blocks = 6;
    plan.seed = u64::from(guard.lookups) + 1;
    let mut session = Opens {
        each: opens,
        hold_up: Duration::ZERO,
    };
    Ok(run(&plan, &mut session, &mut guard, &mut Silent)?)
}

fn response(lookups: u32, record: &Record) -> Result<Response, BoxError> {
    let found = record.judgement.attribution.as_ref();
    let found = found.ok_or("the kernel told no run times")?;
    let ns = |percent: f64| percent / 100.0 * found.bare_ns;
    let (Some(paired), Some((lower, upper)), Some(z)) =
        (found.paired_percent, found.paired_interval, found.z)
    else {
        return Err("too few quads for an interval".into());
    };
    Ok(Response {
        lookups,
        bare: found.bare_ns,
        paired: ns(paired),
        interval: (ns(lower), ns(upper)),
        direct: ns(found.direct_percent),
        z,
    })
}

/// The straight line through (dose, value) by least squares, each weighted by its interval: (at dose 0, each look-up).
#[must_use]
pub fn line(responses: &[Response], value: impl Fn(&Response) -> f64) -> (f64, f64) {
    let weighted: Vec<(f64, f64, f64)> = responses
        .iter()
        .map(|response| {
            let width = response.interval.1 - response.interval.0;
            (
                1.0 / (width * width),
                f64::from(response.lookups),
                value(response),
            )
        })
        .collect();
    let sum = |of: &dyn Fn(&(f64, f64, f64)) -> f64| weighted.iter().map(of).sum::<f64>();
    let weight = sum(&|(w, _, _)| *w);
    let (x, y) = (
        sum(&|(w, x, _)| w * x) / weight,
        sum(&|(w, _, y)| w * y) / weight,
    );
    let slope = sum(&|(w, a, b)| w * (a - x) * (b - y)) / sum(&|(w, a, _)| w * (a - x).powi(2));
    (y - slope * x, slope)
}
