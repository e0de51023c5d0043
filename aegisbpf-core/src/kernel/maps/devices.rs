//! On which devices names are watched: what the programs ask where the filter says "perhaps" of a directory. User space alone
//! writes it: before a change of policy what both policies need, after it what the new one needs.

use aegisbpf_bpf::{abi, names};
use aya::maps::{Array, IterableMap, MapData};

use super::{Source, failed};
use crate::error::Result;

/// Not 0 where a device of this class has a directory in which names are watched.
type Classes = [u8; abi::DEVICE_SLOTS];

/// See the module.
pub(super) struct WatchedDevices(Array<MapData, Classes>);

impl WatchedDevices {
    pub(super) fn take(source: &mut Source<'_>) -> Result<Self> {
        source.take(names::WATCHED_DEVICES).map(Self)
    }

    /// Says "perhaps" for these devices, and for all for which it did.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub(super) fn include(&mut self, devices: impl Iterator<Item = u32>) -> Result<()> {
        let held = self.held()?;
        self.change(&held, mark(held, devices))
    }

    /// Says "perhaps" for these devices, and "no" for all others.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub(super) fn become_exactly(&mut self, devices: impl Iterator<Item = u32>) -> Result<()> {
        let held = self.held()?;
        self.change(&held, mark([0; abi::DEVICE_SLOTS], devices))
    }

    fn held(&self) -> Result<Classes> {
        self.0
            .get(&0, 0)
            .map_err(failed("reading on which devices names are watched"))
    }

    /// The kernel copies the whole while programs read it. That is no matter: a byte that stays is written as it is.
    fn change(&mut self, held: &Classes, wanted: Classes) -> Result<()> {
        if *held == wanted {
            return Ok(());
        }
        self.0
            .set(0, wanted, 0)
            .map_err(failed("writing on which devices names are watched"))
    }

    pub(super) fn map(&self) -> &MapData {
        IterableMap::map(&self.0)
    }
}

/// `held`, and the classes of these devices.
fn mark(mut held: Classes, devices: impl Iterator<Item = u32>) -> Classes {
    for device in devices {
        held[class(device)] = 1;
    }
    held
}

/// Where the programs look for a device, by the number that the kernel has for it.
fn class(device: u32) -> usize {
    (device ^ device >> abi::DEVICE_FOLD) as usize % abi::DEVICE_SLOTS
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// As the kernel keeps it.
    fn device(major: u32, minor: u32) -> u32 {
        major << 20 | minor
    }

    fn marked(devices: &[u32]) -> BTreeSet<usize> {
        let classes = mark([0; abi::DEVICE_SLOTS], devices.iter().copied());
        (0..classes.len()).filter(|n| classes[*n] != 0).collect()
    }

    #[test]
    fn what_was_marked_stays_marked() {
        let [one, other] = [device(0, 25), device(259, 2)];
        let both = mark(
            mark([0; abi::DEVICE_SLOTS], [one].into_iter()),
            [other].into_iter(),
        );
        assert_eq!(both, mark([0; abi::DEVICE_SLOTS], [other, one].into_iter()));
        assert_eq!(marked(&[one, other]).len(), 2);
        assert!(marked(&[]).is_empty());
    }

    #[test]
    fn file_systems_without_a_disk_are_told_apart() {
        let all: Vec<u32> = (1..=abi::DEVICE_SLOTS as u32)
            .map(|n| device(0, n))
            .collect();
        assert_eq!(marked(&all).len(), abi::DEVICE_SLOTS);
    }

    /// SCSI, device mapper and NVMe disks, virtual ones, and what is mounted first: /proc, pipes, sockets.
    #[test]
    fn first_disks_are_told_apart_from_what_has_none() {
        let pseudo: Vec<u32> = (1..64).map(|minor| device(0, minor)).collect();
        for major in [8, 253, 254, 259] {
            for minor in 0..16 {
                let class = marked(&[device(major, minor)]);
                assert!(marked(&pseudo).is_disjoint(&class), "{major}:{minor}");
            }
        }
    }
}
