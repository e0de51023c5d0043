//! The mounted file systems, as `/proc/self/mountinfo` lists them (proc_pid_mountinfo(5)).

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::fs;
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
    id: u64,
    /// The mount that it stands in.
    parent: u64,
    /// The device of its superblock, in the kernel's encoding.
    pub(crate) dev: u32,
    /// The directory of its file system that is mounted.
    root: PathBuf,
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

    /// Those that the processes of this machine see: one list for each mount name space that we can look into.
    pub(crate) fn of_all() -> io::Result<Vec<Self>> {
        let mut seen = HashSet::new();
        let mut all = Vec::new();
        for process in fs::read_dir("/proc")? {
            let process = process?.path();
            // What is no process has no name spaces, and one that has ended needs none.
            let Ok(space) = fs::read_link(process.join("ns/mnt")) else {
                continue;
            };
            if seen.insert(space)
                && let Ok(mountinfo) = fs::read(process.join("mountinfo"))
            {
                all.push(Self::parse(&mountinfo));
            }
        }
        Ok(all)
    }

    /// Where `path`, which has no symbolic links, lies: the device, and the path from the root of that file system.
    pub(crate) fn place(&self, path: &Path) -> Option<(u32, PathBuf)> {
        let mount = self.of(path)?;
        Some((mount.dev, mount.place(path)?))
    }

    /// Does a mount stand below one of these places (not on it)?
    pub(crate) fn any_below(&self, places: &[(u32, PathBuf)]) -> bool {
        let mounts: HashMap<u64, &Mount> = self.0.iter().map(|mount| (mount.id, mount)).collect();
        self.0.iter().any(|mount| {
            let stands_in = mounts.get(&mount.parent);
            let at = stands_in.and_then(|parent| Some((parent.dev, parent.place(&mount.point)?)));
            at.is_some_and(|(dev, at)| {
                places
                    .iter()
                    .any(|(of, place)| *of == dev && at != *place && at.starts_with(place))
            })
        })
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

impl Mount {
    /// A path that lies in this mount, from the root of its file system.
    fn place(&self, path: &Path) -> Option<PathBuf> {
        let inside = path.strip_prefix(&self.point).ok()?;
        Some(self.root.join(inside))
    }
}

/// `36 35 98:0 /root /point rw,noatime shared:1 - ext4 /dev/sda1 rw`
fn mount(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|b| *b == b' ');
    let mut number = || std::str::from_utf8(fields.next()?).ok()?.parse().ok();
    let (id, parent) = (number()?, number()?);
    let (major, minor) = std::str::from_utf8(fields.next()?).ok()?.split_once(':')?;
    let root = unescape(fields.next()?);
    let point = unescape(fields.next()?);
    let fs_type = fields.skip_while(|field| *field != b"-").nth(1)?;
    Some(Mount {
        id,
        parent,
        dev: FileId::from_parts(major.parse().ok()?, minor.parse().ok()?, 0).dev,
        root: PathBuf::from(OsString::from_vec(root)),
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
    fn a_mount_below_a_place_is_found_from_wherever_it_is_seen() {
        let mounts = Mounts::parse(
            b"\
1 0 8:1 / / rw - ext4 a rw
2 1 8:2 / /srv rw - ext4 b rw
3 2 0:9 / /srv/secret/deep/m rw - tmpfs m rw
4 1 8:2 /secret /mnt rw - ext4 b rw
",
        );
        let place = mounts.place(Path::new("/srv/secret")).unwrap();
        assert_eq!(place, (8 << 20 | 2, PathBuf::from("/secret")));
        assert_eq!(mounts.place(Path::new("/mnt")).unwrap(), place);
        assert!(mounts.any_below(&[place]));
        let none = mounts.place(Path::new("/srv/secret/deep/m")).unwrap();
        assert!(!mounts.any_below(&[none]), "on it is not below it");
        // Another name space sees the same directory elsewhere.
        let other =
            Mounts::parse(b"7 6 8:2 / / rw - ext4 b rw\n8 7 0:9 / /secret/m rw - tmpfs m rw\n");
        assert!(other.any_below(&[(8 << 20 | 2, PathBuf::from("/secret"))]));
        assert!(!other.any_below(&[(8 << 20 | 2, PathBuf::from("/secre"))]));
    }

    #[test]
    fn this_machine_has_a_root_mount() {
        assert!(Mounts::read().unwrap().of(Path::new("/")).is_some());
    }
}
