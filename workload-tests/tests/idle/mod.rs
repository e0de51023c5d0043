//! An enforcer that does nothing: whoever measures it measures the instrument.

use std::collections::BTreeMap;

use aegisbpf_measure::{
    guard::{Evidence, Guard, Identity, Memory, Runs},
    workload::BoxError,
};

/// The hook that it says it has.
pub(crate) const HOOK: &str = "nothing at all";

/// An enforcer that does nothing, and says that it does.
#[derive(Default)]
pub(crate) struct Idle {
    attached: bool,
    hits: u64,
    runs: u64,
}

impl Guard for Idle {
    fn identity(&self) -> Identity {
        Identity {
            name: "idle".to_owned(),
            version: "1".to_owned(),
            backend: "none".to_owned(),
            mode: "audit".to_owned(),
            policy: "none".to_owned(),
            policy_sha256: String::new(),
            hooks: vec![HOOK.to_owned()],
        }
    }

    fn protect(&mut self) -> Result<(), BoxError> {
        self.attached = true;
        Ok(())
    }

    fn release(&mut self) -> Result<(), BoxError> {
        self.attached = false;
        Ok(())
    }

    fn evidence(&mut self) -> Result<Evidence, BoxError> {
        // More than any workload opens.
        self.runs += 1_000_000_000;
        let runs = Runs {
            count: self.runs,
            nanos: 0,
        };
        Ok(Evidence {
            links: self.attached.then(|| HOOK.to_owned()).into_iter().collect(),
            hits: self.hits,
            blocks: self.hits,
            runs: BTreeMap::from([(HOOK.to_owned(), runs)]),
            ..Evidence::default()
        })
    }

    fn touch_denied(&mut self) -> Result<(), BoxError> {
        self.hits += u64::from(self.attached);
        Ok(())
    }

    fn count_runs(&mut self, _: bool) -> Result<(), BoxError> {
        Ok(())
    }

    fn memory(&mut self) -> Result<Option<Memory>, BoxError> {
        Ok(None)
    }
}
