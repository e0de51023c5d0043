//! What many calls take by the clock, which counts instructions.

use std::time::Instant;

use crate::Any;

/// The median of so many calls, after as many that warm caches and lazy paths.
pub(crate) fn median<T, E: Into<Any>>(
    calls: usize,
    call: impl FnMut() -> Result<T, E>,
) -> Result<f64, Any> {
    between(calls, call, || Ok::<_, Any>(()))
}

/// What the fastest tenth of so many calls take at most: for long ones, in most of which ticks of the clock and the kernel's
/// deferred work fall. (The least is whatever happened once.)
pub(crate) fn tenth<T, E: Into<Any>>(
    calls: usize,
    mut call: impl FnMut() -> Result<T, E>,
) -> Result<f64, Any> {
    let mut times = Vec::with_capacity(calls);
    for _ in 0..calls {
        let start = Instant::now();
        drop(call().map_err(Into::into)?);
        times.push(start.elapsed().as_nanos());
    }
    times.sort_unstable();
    Ok(times[calls / 10] as f64)
}

/// The median, with something after each call that is not counted.
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
