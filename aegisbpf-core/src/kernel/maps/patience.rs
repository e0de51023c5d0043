//! Filling large maps. A map without pre-allocation takes its entries from a small stock of the kernel's, which is filled up
//! in the background: whoever inserts faster than that is told ENOMEM though there is memory.

use std::{thread, time::Duration};

use aya::maps::MapError;

const PAUSE: Duration = Duration::from_millis(1);
/// Together with the pause: how long memory is waited for before it is believed that there is none.
const TRIES: u32 = 2_000;

/// Does `insert`, again if the kernel's stock was empty.
pub(super) fn patiently(mut insert: impl FnMut() -> Result<(), MapError>) -> Result<(), MapError> {
    for _ in 1..TRIES {
        match insert() {
            Err(MapError::SyscallError(e)) if e.io_error.raw_os_error() == Some(libc::ENOMEM) => {
                thread::sleep(PAUSE);
            }
            done => return done,
        }
    }
    insert()
}
