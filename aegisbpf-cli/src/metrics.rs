//! `aegisbpf metrics`: the counters for Prometheus, on standard output, in a file or on a loopback address.

mod families;
mod serve;

use std::{
    fs,
    io::{self, Write},
    path::Path,
    sync::atomic::Ordering,
    thread,
    time::{Duration, Instant},
};

use aegisbpf_core::Control;
use tempfile::NamedTempFile;

use self::families::{Exposition, registry};
use crate::{
    args::{MetricsArgs, PinArgs},
    exit::Failure,
    signals::Signals,
};

pub(crate) fn metrics(args: &MetricsArgs) -> Result<(), Failure> {
    if let Some(address) = args.listen {
        return serve::serve(address, &args.pins);
    }
    let Some(file) = &args.file else {
        let text = text(&args.pins, Exposition::OpenMetrics)?;
        return Ok(io::stdout().lock().write_all(text.as_bytes())?);
    };
    let Some(every) = args.every else {
        return write(file, &args.pins);
    };
    let signals = Signals::catch()?;
    loop {
        write(file, &args.pins)?;
        let until = Instant::now() + every;
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            if signals.stop.load(Ordering::Acquire) {
                return Ok(());
            }
            thread::sleep(left.min(Duration::from_millis(100)));
        }
    }
}

/// All metrics now.
fn text(pins: &PinArgs, exposition: Exposition) -> Result<String, Failure> {
    let control = Control::open(&pins.pin_dir)?;
    let registry = registry(&control.stats()?, control.daemon());
    Ok(exposition.text(&registry))
}

/// The textfile collector reads whole files in Prometheus's own format only, at any moment: so the file is made aside
/// and renamed.
fn write(file: &Path, pins: &PinArgs) -> Result<(), Failure> {
    let text = text(pins, Exposition::Prometheus)?;
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let written = NamedTempFile::new_in(folder).and_then(|mut aside| {
        aside.write_all(text.as_bytes())?;
        // The collector runs as a user of its own.
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        fs::set_permissions(aside.path(), mode)?;
        aside.persist(file).map(drop).map_err(|e| e.error)
    });
    written.map_err(|e| Failure::said(format!("writing metrics to {}: {e}", file.display())))
}
