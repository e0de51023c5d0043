//! The identity of a file: its device and inode number, as the kernel's own `struct super_block` and
//! `struct inode` hold them.
//!
//! A device number has two encodings, and they are easily taken for each other, since both are plain numbers:
//!
//! | where | major 254, minor 3 | layout |
//! |---|---|---|
//! | in the kernel (`dev_t`, `sb->s_dev`), in our maps, in `[deny_inode]` | 266338307 | `major << 20 \| minor`, 12 + 20 bits |
//! | in user space (`st_dev` of stat(2), `stat -c %d`, glibc's `makedev`) | 65027 | `minor[0..8] \| major << 8 \| minor[8..20] << 12` |
//!
//! [`FileId`] holds the first; [`FileId::from_stat`] and [`FileId::st_dev`] are the only conversions.

use std::fmt;
use std::str::FromStr;

use nix::sys::stat::{major, makedev, minor};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// Bits of the kernel's `dev_t` that hold the minor number (`MINORBITS`).
const MINOR_BITS: u32 = 20;
/// The greatest major number that the kernel's 32-bit `dev_t` holds.
pub const MAJOR_MAX: u32 = (1 << (32 - MINOR_BITS)) - 1;
/// The greatest minor number that the kernel's 32-bit `dev_t` holds.
pub const MINOR_MAX: u32 = (1 << MINOR_BITS) - 1;

/// A file, by device and inode number, in the kernel's own encoding.
///
/// ```
/// use aegisbpf_core::file_id::FileId;
///
/// let id: FileId = "266338307:1234".parse()?;
/// assert_eq!((id.major(), id.minor(), id.ino), (254, 3, 1234));
/// assert_eq!(id.st_dev(), 65_027); // what `stat -c %d` prints
/// # Ok::<(), aegisbpf_core::file_id::ParseFileIdError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct FileId {
    /// The device, `major << 20 | minor`.
    pub dev: u32,
    /// The inode number.
    pub ino: u64,
}

impl FileId {
    /// The file of which stat(2) says `st_dev` and `st_ino`.
    #[must_use]
    pub fn from_stat(st_dev: u64, ino: u64) -> Self {
        // The kernel hands out no greater numbers than these masks keep.
        let major = major(st_dev) as u32 & MAJOR_MAX;
        let minor = minor(st_dev) as u32 & MINOR_MAX;
        Self::from_parts(major, minor, ino)
    }

    /// The file with this `sb->s_dev` and `inode->i_ino`.
    #[must_use]
    pub fn from_kernel(dev: u32, ino: u64) -> Self {
        Self { dev, ino }
    }

    /// The file on the device `major:minor`, as `/proc/self/mountinfo` and `lsblk` print it. Numbers beyond
    /// [`MAJOR_MAX`] and [`MINOR_MAX`] are cut to their bits.
    #[must_use]
    pub fn from_parts(major: u32, minor: u32, ino: u64) -> Self {
        Self {
            dev: (major & MAJOR_MAX) << MINOR_BITS | (minor & MINOR_MAX),
            ino,
        }
    }

    /// The device as stat(2) gives it in `st_dev`.
    #[must_use]
    #[doc(alias = "makedev")]
    pub fn st_dev(self) -> u64 {
        makedev(u64::from(self.major()), u64::from(self.minor()))
    }

    /// The device's major number.
    #[must_use]
    pub fn major(self) -> u32 {
        self.dev >> MINOR_BITS
    }

    /// The device's minor number.
    #[must_use]
    pub fn minor(self) -> u32 {
        self.dev & MINOR_MAX
    }
}

/// `dev:ino` in decimal, the spelling of `[deny_inode]`.
impl fmt::Display for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.dev, self.ino)
    }
}

impl Serialize for FileId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for FileId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(D::Error::custom)
    }
}

/// Why a text is no `dev:ino`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseFileIdError {
    /// There is no `:`, or more than one.
    #[error("expected two decimal numbers, `dev:ino`")]
    Shape,
    /// The device is no decimal number.
    #[error("the device is not a decimal number")]
    Device,
    /// The device does not fit the kernel's 32 bits.
    #[error("the device does not fit 32 bits")]
    DeviceRange,
    /// The inode is no decimal number.
    #[error("the inode is not a decimal number")]
    Inode,
    /// The inode number does not fit 64 bits.
    #[error("the inode does not fit 64 bits")]
    InodeRange,
}

/// Reads `dev:ino`: decimal digits, with blanks allowed around each number.
impl FromStr for FileId {
    type Err = ParseFileIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (dev, ino) = text.split_once(':').ok_or(ParseFileIdError::Shape)?;
        if ino.contains(':') {
            return Err(ParseFileIdError::Shape);
        }
        let (dev, ino) = (dev.trim_ascii(), ino.trim_ascii());
        if !is_decimal(dev) {
            return Err(ParseFileIdError::Device);
        }
        if !is_decimal(ino) {
            return Err(ParseFileIdError::Inode);
        }
        let dev = dev.parse().map_err(|_| ParseFileIdError::DeviceRange)?;
        let ino = ino.parse().map_err(|_| ParseFileIdError::InodeRange)?;
        Ok(Self { dev, ino })
    }
}

/// Digits only. Rust's own integer parsers would take a `+` too.
pub(crate) fn is_decimal(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::small(254, 3, 266_338_307, 65_027)]
    #[case::minor_beyond_8_bits(8, 300, 8_388_908, 1_050_668)]
    #[case::greatest(4095, 1_048_575, u32::MAX, 0xffff_ffff)]
    fn both_encodings_agree(
        #[case] major: u32,
        #[case] minor: u32,
        #[case] kernel: u32,
        #[case] user: u64,
    ) {
        let id = FileId::from_kernel(kernel, 7);
        assert_eq!((id.major(), id.minor()), (major, minor));
        assert_eq!(id.st_dev(), user);
        assert_eq!(FileId::from_stat(user, 7), id);
        assert_eq!(FileId::from_parts(major, minor, 7), id);
    }

    #[test]
    fn a_real_file_keeps_its_device() {
        let meta = std::fs::metadata("/").unwrap();
        assert_eq!(
            FileId::from_stat(meta.dev(), meta.ino()).st_dev(),
            meta.dev()
        );
    }

    #[rstest]
    #[case("1:2", Ok(FileId::from_kernel(1, 2)))]
    #[case(" 1 : 2 ", Ok(FileId::from_kernel(1, 2)))]
    #[case(
        "4294967295:18446744073709551615",
        Ok(FileId::from_kernel(u32::MAX, u64::MAX))
    )]
    #[case("12", Err(ParseFileIdError::Shape))]
    #[case("1:2:3", Err(ParseFileIdError::Shape))]
    #[case("+1:2", Err(ParseFileIdError::Device))]
    #[case("0x1:2", Err(ParseFileIdError::Device))]
    #[case(":2", Err(ParseFileIdError::Device))]
    #[case("1:", Err(ParseFileIdError::Inode))]
    #[case("1:-2", Err(ParseFileIdError::Inode))]
    #[case("4294967296:2", Err(ParseFileIdError::DeviceRange))]
    #[case("1:18446744073709551616", Err(ParseFileIdError::InodeRange))]
    fn parses_dev_ino(#[case] text: &str, #[case] expected: Result<FileId, ParseFileIdError>) {
        assert_eq!(text.parse(), expected);
    }

    proptest! {
        #[test]
        fn display_and_stat_round_trip(dev: u32, ino: u64) {
            let id = FileId::from_kernel(dev, ino);
            prop_assert_eq!(id.to_string().parse::<FileId>(), Ok(id));
            prop_assert_eq!(FileId::from_stat(id.st_dev(), ino), id);
        }
    }
}
