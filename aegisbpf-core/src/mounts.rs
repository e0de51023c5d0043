//! The mounted file systems, as `/proc/self/mountinfo` lists them (proc_pid_mountinfo(5)).

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use crate::file_id::FileId;

/// The mounts that this process sees, in the order in which they were made.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mounts(Vec<Mount>);

/// One mounted file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    /// The device of its superblock, in the kernel's encoding.
    pub(crate) dev: u32,
    pub(crate) point: PathBuf,
    pub(crate) fs_type: String,
}

impl Mounts {
    pub(crate) fn read() -> io::Result<Self> {
        Ok(Self::parse(&std::fs::read("/proc/self/mountinfo")?))
    }

    /// Takes what it understands: a line of another shape names no mount that we could use.
    pub(crate) fn parse(mountinfo: &[u8]) -> Self {
        Self(mountinfo.split(|b| *b == b'\n').filter_map(mount).collect())
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, Mount> {
        self.0.iter()
    }

    pub(crate) fn has_device(&self, dev: u32) -> bool {
        self.0.iter().any(|mount| mount.dev == dev)
    }

    /// The mount that holds `path`, which has no symbolic links: the innermost one, of several the last.
    pub(crate) fn of(&self, path: &Path) -> Option<&Mount> {
        let around = self.0.iter().filter(|mount| path.starts_with(&mount.point));
        around.max_by_key(|mount| mount.point.components().count())
    }
}

/// `36 35 98:0 /root /point rw,noatime shared:1 - ext4 /dev/sda1 rw`
fn mount(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|b| *b == b' ');
    let (major, minor) = std::str::from_utf8(fields.nth(2)?).ok()?.split_once(':')?;
    let point = unescape(fields.nth(1)?);
    let fs_type = fields.skip_while(|field| *field != b"-").nth(1)?;
    Some(Mount {
        dev: FileId::from_parts(major.parse().ok()?, minor.parse().ok()?, 0).dev,
        point: PathBuf::from(OsString::from_vec(point)),
        fs_type: String::from_utf8_lossy(fs_type).into_owned(),
    })
}

/// Undoes the kernel's `\040` for a blank, and the like.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, tail @ ..] = rest {
        rest = match tail {
            [
                a @ b'0'..=b'3',
                b @ b'0'..=b'7',
                c @ b'0'..=b'7',
                after @ ..,
            ] if *first == b'\\' => {
                plain.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                after
            }
            _ => {
                plain.push(*first);
                tail
            }
        };
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTINFO: &[u8] = b"\
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:1 / / rw,relatime shared:1 master:2 - ext4 /dev/vda rw
40 27 0:40 / /mnt/a\\040b rw - tmpfs tmpfs rw
41 27 0:41 / /mnt/a\\040b rw - xfs none rw
not a mount
";

    #[test]
    fn optional_fields_and_escapes_are_read() {
        let mounts = Mounts::parse(MOUNTINFO);
        assert_eq!(mounts.iter().len(), 4);
        let root = mounts.of(Path::new("/etc/shadow")).unwrap();
        assert_eq!((root.dev, root.fs_type.as_str()), (254 << 20 | 1, "ext4"));
        assert!(mounts.has_device(41) && !mounts.has_device(42));
    }

    #[test]
    fn the_last_of_the_innermost_mounts_holds_a_path() {
        let mounts = Mounts::parse(MOUNTINFO);
        assert_eq!(mounts.of(Path::new("/mnt/a b/c")).unwrap().fs_type, "xfs");
        assert_eq!(mounts.of(Path::new("/mnt/a bc")).unwrap().fs_type, "ext4");
    }

    #[test]
    fn this_machine_has_a_root_mount() {
        assert!(Mounts::read().unwrap().of(Path::new("/")).is_some());
    }
}
