//! The inodes that came to bear a watched name after the policy was applied. The programs write here, at that moment.

use aegisbpf_bpf::{
    abi::{self, Bound, InodeKey},
    names,
};
use aya::maps::{HashMap, IterableMap, MapData, MapError};

use super::{Source, failed, ignore_missing};
use crate::{error::Result, locate::Identity};

const NOEXIST: u64 = 1;

/// See the module.
pub(super) struct BoundInodes(
    HashMap<MapData, [u8; size_of::<InodeKey>()], [u8; size_of::<Bound>()]>,
);

impl BoundInodes {
    pub(super) fn take(source: &mut Source<'_>) -> Result<Self> {
        source.take(names::BOUND).map(Self)
    }

    /// Binds a file to a rule, or a directory to a rule about all below it, as `kind` says. False if it is bound already,
    /// to whatever rule.
    pub(super) fn insert(&mut self, rule: u32, kind: u32, identity: &Identity) -> Result<bool> {
        let key = InodeKey {
            ino: identity.file.ino,
            dev: identity.file.dev,
            generation: identity.generation.unwrap_or_default(),
            kind,
            pad: 0,
        };
        let value = Bound {
            rule,
            state: abi::BOUND_STICKY,
        };
        let inserted = self.0.insert(
            bytemuck::cast::<_, [u8; size_of::<InodeKey>()]>(key),
            bytemuck::cast::<_, [u8; size_of::<Bound>()]>(value),
            NOEXIST,
        );
        match inserted {
            Ok(()) => Ok(true),
            Err(MapError::SyscallError(e))
                if e.io_error.kind() == std::io::ErrorKind::AlreadyExists =>
            {
                Ok(false)
            }
            Err(e) => Err(failed("binding a file to its rule")(e)),
        }
    }

    /// Removes the entries of rules that are not to stay, and gives their inode numbers.
    pub(super) fn retain(&mut self, stays: impl Fn(u32) -> bool) -> Result<Vec<u64>> {
        let gone: Vec<_> = self
            .0
            .iter()
            .filter_map(std::result::Result::ok)
            .filter(|(_, value)| !stays(bytemuck::cast::<_, Bound>(*value).rule))
            .map(|(key, _)| key)
            .collect();
        let mut freed = Vec::new();
        for key in gone {
            match self.0.remove(&key) {
                Ok(()) => freed.push(bytemuck::cast::<_, InodeKey>(key).ino),
                // Its inode has died meanwhile, and the programs have counted that.
                missing => ignore_missing(missing)
                    .map_err(failed("ending the binding of a file to its rule"))?,
            }
        }
        Ok(freed)
    }

    pub(super) fn map(&self) -> &MapData {
        IterableMap::map(&self.0)
    }
}
