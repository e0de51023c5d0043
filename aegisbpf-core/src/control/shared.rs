//! An enforcer that several processes hold: finding it, taking turns, and mending what a process left that died.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use aegisbpf_bpf::abi::ABI_VERSION;
use serde::{Deserialize, Serialize};

use super::{Control, carried::Carried};
use crate::{
    backend::Backend,
    error::{Error, Result},
    events::Labels,
    kept::Kept,
    kernel::{Loaded, Maps, Source, blob, lock::Lock, pins::Pins},
};

/// Where an enforcer is pinned unless something else is said.
pub const PIN_DIR: &str = "/sys/fs/bpf/aegisbpf";

/// The pins, and which of all that ever had these names they are.
pub(super) struct Shared {
    pub(super) pins: Pins,
    identity: (u64, u64),
}

/// What a set of pins is, for those who find it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct About {
    pub(crate) backend: Backend,
    /// Tells one build of the programs from another.
    pub(crate) build: u64,
    pub(crate) ring_buffer_bytes: u32,
    /// Rules that can have counters at once.
    pub(crate) rules: u32,
    /// The cgroup that programs on sockets are attached to, unless it is the root.
    pub(crate) network_scope: Option<PathBuf>,
}

impl About {
    pub(crate) fn write(&self, pins: &Pins) -> Result<()> {
        let bytes =
            postcard::to_stdvec(self).map_err(|e| Error::kernel("describing what is pinned", e))?;
        blob::write(&pins.about(), &bytes)
    }

    pub(crate) fn read(pins: &Pins) -> Result<Self> {
        let bytes = blob::read(&pins.about())?;
        postcard::from_bytes(&bytes)
            .map_err(|e| Error::kernel(format!("reading {}", pins.about().display()), e))
    }
}

impl Control {
    /// Opens the enforcer that a process, alive or not, has pinned in `dir` ([`PIN_DIR`] by default), with the same
    /// verbs as in that process.
    ///
    /// # Errors
    /// [`Error::NotRunning`] if there is none, [`Error::AbiMismatch`] if another version of this library made it,
    /// [`Error::Unsupported`] without the rights to look.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self> {
        let pins = Pins::new(dir.as_ref());
        find(&pins)?;
        let _turn = Lock::wait(pins.base(), "opening the enforcer")?;
        find(&pins)?;
        Self::from_pins(pins)
    }

    /// Opens what is pinned. The caller holds the lock.
    pub(crate) fn from_pins(pins: Pins) -> Result<Self> {
        let about = About::read(&pins)?;
        let maps = Maps::take(&mut Source::Pins(&pins), about.ring_buffer_bytes)?;
        let loaded = Loaded::open(about.backend, &pins, about.network_scope)?;
        let generation = maps.settings()?.generation;
        let kept = read_kept(&pins, generation)?;
        let identity = identity(pins.set())?;
        Ok(Self {
            backend: about.backend,
            loaded,
            maps,
            kept,
            generation,
            previous: None,
            labels: Labels::default(),
            ring: None,
            counting: None,
            carried: Carried::read(&pins)?,
            attached: false,
            shared: Some(Shared { pins, identity }),
        })
    }

    /// Removes the set with its hooks. The caller runs it, so nobody else does.
    pub(crate) fn remove_pins(mut self) -> Result<()> {
        let turn = self.begin("removing the enforcer")?;
        let Some(Shared { pins, .. }) = self.shared else {
            return Ok(());
        };
        pins.remove_set()?;
        drop(turn);
        pins.remove_base();
        Ok(())
    }

    /// Takes the turn to change something: the lock, if others could change it too, and sight of what they did.
    pub(super) fn begin(&mut self, what: &str) -> Result<Option<Lock>> {
        let Some(shared) = &self.shared else {
            return Ok(None);
        };
        let turn = Lock::wait(shared.pins.base(), what)?;
        find(&shared.pins)?;
        if identity(shared.pins.set())? != shared.identity {
            // Another start has put a new set in its place.
            let fresh = Self::from_pins(shared.pins.clone())?;
            (self.loaded, self.maps) = (fresh.loaded, fresh.maps);
            (self.kept, self.generation) = (fresh.kept, fresh.generation);
            (self.carried, self.shared) = (fresh.carried, fresh.shared);
        }
        let generation = self.maps.settings()?.generation;
        if let Some(shared) = self
            .shared
            .as_ref()
            .filter(|_| generation != self.generation)
        {
            self.kept = read_kept(&shared.pins, generation)?;
            self.generation = generation;
        }
        self.mend()?;
        Ok(Some(turn))
    }

    /// Ends a change of policy in the middle of which a process died: the policy that is current stays, whole, and
    /// everything else of the change goes.
    fn mend(&mut self) -> Result<()> {
        let Some(Shared { pins, .. }) = &self.shared else {
            return Ok(());
        };
        if !pins.switching().is_set() {
            return Ok(());
        }
        self.maps.repair(&mut self.loaded, &self.kept.table)?;
        let needs = self.kept.table.needs();
        if !pins.detached().is_set() {
            self.loaded.attach(&needs)?;
        }
        self.loaded.detach_except(&needs)?;
        self.end_switch()
    }

    /// Before a change of policy: says that one has begun, and keeps its words under the generation that it will be.
    pub(super) fn begin_switch(&self, next: &Kept) -> Result<()> {
        let Some(Shared { pins, .. }) = &self.shared else {
            return Ok(());
        };
        pins.switching().set()?;
        let path = pins.policy(self.generation.wrapping_add(1));
        remove(&path)?;
        blob::write(&path, &next.to_bytes()?)
    }

    /// After a change, done or given up: keeps the words of the current generation and of the one before it.
    pub(super) fn end_switch(&self) -> Result<()> {
        let Some(Shared { pins, .. }) = &self.shared else {
            return Ok(());
        };
        let keep = [self.generation, self.generation.wrapping_sub(1)];
        for generation in pins.policies() {
            if !keep.contains(&generation) {
                remove(&pins.policy(generation))?;
            }
        }
        pins.switching().clear()
    }
}

/// Says what is wrong if no set of ours is there.
pub(crate) fn find(pins: &Pins) -> Result<()> {
    let dir = pins.base().to_owned();
    match fs::metadata(pins.about()) {
        Ok(_) => pins.trust(),
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => Err(Error::Unsupported {
            what: format!("opening the enforcer at {}", dir.display()),
            reason: "permission denied".into(),
            remedy: "run as root".into(),
            source: Some(e.into()),
        }),
        Err(_) => match pins.other_versions() {
            found if found.is_empty() => Err(Error::NotRunning { dir }),
            found => Err(Error::AbiMismatch {
                dir,
                found,
                ours: ABI_VERSION,
            }),
        },
    }
}

/// The words of a generation. There are none before the first policy.
pub(super) fn read_kept(pins: &Pins, generation: u32) -> Result<Kept> {
    if generation == 0 && !pins.policies().contains(&0) {
        return Ok(Kept::nothing());
    }
    Kept::from_bytes(&blob::read(&pins.policy(generation))?)
}

fn identity(set: &Path) -> Result<(u64, u64)> {
    fs::metadata(set)
        .map(|meta| (meta.dev(), meta.ino()))
        .map_err(|e| Error::kernel(format!("looking at {}", set.display()), e))
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            Err(Error::kernel(format!("removing {}", path.display()), e))
        }
        _ => Ok(()),
    }
}
