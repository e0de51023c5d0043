//! Medians of what the clock shows, which counts instructions.

use std::time::Instant;

use aegisbpf_core::Enforcer;

use crate::{Any, apply};

/// The median of so many calls, after as many that warm caches and lazy paths.
pub(crate) fn median<T, E: Into<Any>>(
    calls: usize,
    call: impl FnMut() -> Result<T, E>,
) -> Result<f64, Any> {
    between(calls, call, || Ok::<_, Any>(()))
}

/// The least that an operation took without and with a policy of these sections.
pub(crate) fn least(
    aegis: &mut Enforcer,
    sections: &str,
    one: impl Fn() -> Result<f64, Any>,
) -> Result<(f64, f64), Any> {
    let (mut without, mut with) = (f64::MAX, f64::MAX);
    for _ in 0..PAIRS {
        apply(aegis, "")?;
        without = one()?.min(without);
        apply(aegis, sections)?;
        with = one()?.min(with);
    }
    Ok((without, with))
}

/// The least that an operation took while what `attach` gives is attached.
pub(crate) fn least_with<T>(
    attach: impl Fn() -> aegisbpf_core::Result<T>,
    one: impl Fn() -> Result<f64, Any>,
) -> Result<f64, Any> {
    let mut least = f64::MAX;
    for _ in 0..PAIRS {
        let _attached = attach()?;
        least = one()?.min(least);
    }
    Ok(least)
}

/// How often each row is measured with and without: the kernel's allocator takes a longer way at times, and does so until
/// something else moves it. The least of each is what the operation costs.
const PAIRS: usize = 4;

/// The same, with something after each call that is not counted.
pub(crate) fn between<T, E: Into<Any>, U, F: Into<Any>>(
    calls: usize,
    mut call: impl FnMut() -> Result<T, E>,
    mut undo: impl FnMut() -> Result<U, F>,
) -> Result<f64, Any> {
    let mut times = Vec::with_capacity(calls);
    for round in 0..2 * calls {
        let start = Instant::now();
        drop(call().map_err(Into::into)?);
        let time = start.elapsed().as_nanos();
        if round >= calls {
            times.push(time);
        }
        undo().map_err(Into::into)?;
    }
    times.sort_unstable();
    Ok(times[calls / 2] as f64)
}
