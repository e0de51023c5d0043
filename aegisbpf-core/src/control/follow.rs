//! Looking up a policy's files with the kernel's eyes, and catching up with those that were replaced meanwhile.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io,
    os::fd::AsRawFd,
    path::{Path, PathBuf},
};

use aegisbpf_bpf::{abi, names};

use super::Control;
use crate::{
    FileId,
    error::Result,
    kernel::{Loaded, Maps, Run},
    locate::{Identify, Identity},
    mounts::Mounts,
    policy::{Object, Policy, Problems},
    resolve::{Resolution, Resolved, resolve_by},
};

/// Asks the hooks' own fields: a program of ours looks at the descriptor that we hold.
struct ByKernel<'a> {
    loaded: &'a mut Loaded,
    maps: &'a Maps,
}

impl Identify for ByKernel<'_> {
    fn identify(&mut self, file: &File) -> io::Result<Identity> {
        let descriptor = u64::try_from(file.as_raw_fd()).map_err(io::Error::other)?;
        if self
            .loaded
            .run(names::IDENTIFY_FILE, descriptor)
            .map_err(io::Error::other)?
            != 0
        {
            return Err(io::Error::other("the kernel's own fields cannot be read"));
        }
        let answer = self.maps.identity().map_err(io::Error::other)?;
        Ok(Identity {
            file: FileId::from_kernel(answer.dev, answer.ino),
            generation: (answer.keeps_generation != 0).then_some(answer.generation),
        })
    }

    fn is_exact(&self) -> bool {
        true
    }
}

impl Control {
    /// [`resolve`](crate::resolve::resolve), with the identities that the hooks will see.
    pub(super) fn resolve(&mut self, policy: &Policy) -> Result<Resolution, Problems> {
        let mut by_kernel = ByKernel {
            loaded: &mut self.loaded,
            maps: &self.maps,
        };
        resolve_by(policy, &mut by_kernel)
    }

    /// After a policy has become current: binds the files that came to bear a name of it after they were looked up and
    /// before the programs watched that name. From then on the programs do it.
    ///
    /// A rename or creation whose hook ran before the name was watched holds its directory's lock until it is done, and
    /// reading a directory waits for that lock; so after reading each once, whatever is found at a name is all there is
    /// to catch up with.
    pub(super) fn catch_up(&mut self, policy: &Policy, before: &Resolution) -> Result<()> {
        if !before.follows_names() || !self.is_attached() {
            return Ok(());
        }
        let parents: BTreeSet<&Path> = policy
            .rules()
            .iter()
            .filter_map(|rule| match &rule.object {
                Object::Path(path) | Object::Dir(path) => path.parent(),
                _ => None,
            })
            .collect();
        for parent in parents {
            // One entry takes the lock; a directory that is not there has no names to wait for.
            let _ = fs::read_dir(parent).map(|mut entries| entries.next().is_some());
        }
        let now = self.resolve(policy)?;
        if now.is_same(before) {
            return Ok(());
        }
        let ids = self.kept.table.ids();
        let mut late = Vec::new();
        for (index, rule) in policy.iter() {
            let (Some(Resolved::File(file)), Some(follow)) = (now.get(index), now.follow(index))
            else {
                continue;
            };
            if before.get(index) == now.get(index) && before.follow(index) == Some(follow) {
                continue;
            }
            let identity = Identity {
                file: *file,
                generation: follow.generation,
            };
            let kind = match rule.object {
                Object::Dir(_) => abi::OBJECT_DIR,
                _ => abi::OBJECT_FILE,
            };
            late.extend(
                ids.get(&rule.meaning())
                    .map(|id| (id.number(), kind, identity)),
            );
        }
        self.maps.bind(&mut self.loaded, &late)
    }

    /// Once the hooks are attached that see mounts being made: spares the programs the way above mounts, if none stands below
    /// a directory that the policy has a rule or an exception about, in any mount name space.
    pub(super) fn settle_mounts(&mut self) -> Result<()> {
        if !self.is_attached() || !self.kept.table.asks_where_files_lie() {
            return Ok(());
        }
        let directories = self.kept.policy.rules().iter();
        let directories = directories.filter_map(|rule| match &rule.object {
            Object::Dir(path) | Object::Path(path) => fs::canonicalize(path).ok(),
            _ => None,
        });
        let directories: Vec<PathBuf> = directories.filter(|path| path.is_dir()).collect();
        // Where something cannot be found out, a longer way is walked, and nothing is missed.
        let any_below = || {
            let ours = Mounts::read().ok()?;
            let places = directories.iter().map(|directory| ours.place(directory));
            let places = places.collect::<Option<Vec<_>>>()?;
            let all = Mounts::of_all().ok()?;
            Some(all.iter().any(|mounts| mounts.any_below(&places)))
        };
        if any_below() == Some(false) {
            self.maps.set_mounts_found(false)?;
        }
        Ok(())
    }
}
