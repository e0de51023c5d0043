//! The fake machine's clock and counters.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc, time::Duration};

use super::state::{State, count};
use crate::{contention::Counters, fingerprint::Fingerprint, host::Host, plan::Plan};

/// A machine that does not exist.
#[derive(Debug)]
pub struct FakeHost(pub(super) Rc<RefCell<State>>);

impl Host for FakeHost {
    fn now(&self) -> Duration {
        self.0.borrow().now
    }

    fn counters(&self) -> Counters {
        let state = self.0.borrow();
        let ticks = 100.0 * f64::from(self.cpus()) * state.now.as_secs_f64();
        Counters {
            steal: Some(count(ticks * state.truth.steal)),
            ticks: Some(count(ticks)),
            busy: Some(count(0.5 * ticks)),
            waited: Some(state.now.mul_f64(state.truth.wait)),
            uptime: Some(state.now),
        }
    }

    fn fingerprint(&self, plan: &Plan) -> Fingerprint {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        Fingerprint {
            hard: BTreeMap::from([
                pair("kernel", "6.12.0"),
                pair("cpu", "Fake CPU @ 2.30 GHz"),
                pair("cpus", "2"),
                pair("backend", &plan.guard.backend),
            ]),
            soft: BTreeMap::from([
                pair("load average", "0.10 0.10 0.10"),
                pair("memory", "8000000 kB"),
            ]),
        }
    }

    fn cpus(&self) -> u32 {
        2
    }
}
