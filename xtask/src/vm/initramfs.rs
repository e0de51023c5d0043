//! The guest's root file system: a tree of files in memory, written as a newc cpio archive.
//!
//! The tree has Debian's merged `/usr`, so that a file of the host may keep its path in the guest.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Cursor, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use cpio::newc::{Builder, trailer};

use super::elf;
use super::error::{Attempt, Result};

const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const SYMLINK: u32 = 0o120_000;

/// Old top-level directories, which are symlinks into `/usr`.
const MERGED: [&str; 4] = ["bin", "sbin", "lib", "lib64"];

/// The tree; a later file takes the place of an earlier one.
#[derive(Clone)]
pub(crate) struct Initramfs {
    /// Sorted by component, so a directory comes before what it holds.
    entries: BTreeMap<PathBuf, Entry>,
}

#[derive(Clone)]
enum Entry {
    Directory,
    Symlink(PathBuf),
    Bytes {
        bytes: Vec<u8>,
        mode: u32,
    },
    /// Copied when the archive is written; programs are large.
    Host {
        source: PathBuf,
        mode: u32,
    },
}

impl Initramfs {
    pub(crate) fn new() -> Self {
        let mut tree = Self {
            entries: BTreeMap::new(),
        };
        for name in MERGED {
            tree.directory(Path::new("/usr").join(name));
            let target = Path::new("usr").join(name);
            tree.entries.insert(name.into(), Entry::Symlink(target));
        }
        tree
    }

    pub(crate) fn directory(&mut self, path: impl AsRef<Path>) {
        self.parents_of(&inside(path.as_ref()).join("x"));
    }

    pub(crate) fn symlink(&mut self, path: impl AsRef<Path>, target: impl Into<PathBuf>) {
        self.insert(path.as_ref(), Entry::Symlink(target.into()));
    }

    pub(crate) fn bytes(&mut self, path: impl AsRef<Path>, mode: u32, bytes: impl Into<Vec<u8>>) {
        let bytes = bytes.into();
        self.insert(path.as_ref(), Entry::Bytes { bytes, mode });
    }

    pub(crate) fn contains(&self, path: impl AsRef<Path>) -> bool {
        self.entries.contains_key(&inside(path.as_ref()))
    }

    /// Whether nothing is below a directory.
    pub(crate) fn is_empty(&self, directory: impl AsRef<Path>) -> bool {
        let directory = inside(directory.as_ref());
        let mut others = self.entries.keys().filter(|path| **path != directory);
        !others.any(|path| path.starts_with(&directory))
    }

    /// A file or a directory of the host with all below it; programs bring their libraries along.
    pub(crate) fn host(&mut self, source: &Path, path: &Path) -> Result<()> {
        let metadata = fs::metadata(source).attempt("finding", source)?;
        if !metadata.is_dir() {
            return self.file(source, path, metadata.permissions().mode());
        }
        self.directory(path);
        for entry in fs::read_dir(source).attempt("listing", source)? {
            let entry = entry.attempt("listing", source)?;
            let (source, path) = (entry.path(), path.join(entry.file_name()));
            let kind = entry.file_type().attempt("looking at", &source)?;
            if kind.is_symlink() {
                let target = fs::read_link(&source).attempt("reading the link", &source)?;
                self.symlink(path, target);
            } else if kind.is_dir() || kind.is_file() {
                self.host(&source, &path)?;
            } // sockets and the like have no content to bring
        }
        Ok(())
    }

    fn file(&mut self, source: &Path, path: &Path, mode: u32) -> Result<()> {
        for library in elf::libraries(source)? {
            let entry = Entry::Host {
                source: library.clone(),
                mode: 0o755,
            };
            self.insert(&library, entry);
        }
        let entry = Entry::Host {
            source: source.to_owned(),
            mode: mode & 0o7777,
        };
        self.insert(path, entry);
        Ok(())
    }

    fn insert(&mut self, path: &Path, entry: Entry) {
        let path = inside(path);
        self.parents_of(&path);
        self.entries.insert(path, entry);
    }

    fn parents_of(&mut self, path: &Path) {
        for parent in path.ancestors().skip(1) {
            if !parent.as_os_str().is_empty() {
                self.entries
                    .entry(parent.to_owned())
                    .or_insert(Entry::Directory);
            }
        }
    }

    /// Writes the archive. It is not compressed: an emulated CPU takes longer to unpack than QEMU to copy.
    pub(crate) fn write(&self, file: &Path) -> Result<()> {
        let mut archive = io::BufWriter::new(File::create(file).attempt("making", file)?);
        for (number, (path, entry)) in (1..).zip(&self.entries) {
            archive = entry.write(&builder(path, number), archive)?;
        }
        trailer(archive)
            .and_then(|mut archive| archive.flush())
            .attempt("writing", file)
    }
}

impl Entry {
    fn write<W: Write>(&self, named: &dyn Fn(u32) -> Builder, archive: W) -> Result<W> {
        let (mode, content): (u32, &[u8]) = match self {
            Self::Directory => (DIRECTORY | 0o755, &[]),
            Self::Symlink(target) => (SYMLINK | 0o777, target.as_os_str().as_encoded_bytes()),
            Self::Bytes { bytes, mode } => (REGULAR | mode, bytes),
            Self::Host { source, mode } => {
                let content = fs::read(source).attempt("reading", source)?;
                return append(named(REGULAR | mode), &content, archive)
                    .attempt("archiving", source);
            }
        };
        append(named(mode), content, archive).attempt("writing", "the initramfs")
    }
}

fn builder(path: &Path, number: u32) -> impl Fn(u32) -> Builder {
    let name = path.to_string_lossy().into_owned();
    move |mode| Builder::new(&name).ino(number).mode(mode).nlink(1)
}

fn append<W: Write>(builder: Builder, content: &[u8], archive: W) -> io::Result<W> {
    let length = u32::try_from(content.len())
        .map_err(|_| io::Error::other("a cpio archive holds files below 4 GiB"))?;
    let mut writer = builder.write(archive, length);
    io::copy(&mut Cursor::new(content), &mut writer)?;
    writer.finish()
}

/// The name in the archive of an absolute path of the guest: no leading slash, no dots, through the links into `/usr`.
fn inside(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => plain.push(name),
            Component::ParentDir => {
                plain.pop();
            }
            _ => {}
        }
    }
    let is_merged = plain
        .components()
        .next()
        .is_some_and(|top| MERGED.iter().any(|name| top.as_os_str() == *name));
    if is_merged {
        Path::new("usr").join(plain)
    } else {
        plain
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::io::Read;

    use cpio::NewcReader;

    fn read_back(tree: &Initramfs) -> Vec<(String, u32, Vec<u8>)> {
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("initramfs");
        tree.write(&file).unwrap();
        let mut archive: &[u8] = &fs::read(&file).unwrap();
        let mut entries = Vec::new();
        loop {
            let mut reader = NewcReader::new(archive).unwrap();
            if reader.entry().is_trailer() {
                return entries;
            }
            let (name, mode) = (reader.entry().name().to_owned(), reader.entry().mode());
            let mut content = Vec::new();
            reader.read_to_end(&mut content).unwrap();
            entries.push((name, mode, content));
            archive = reader.finish().unwrap();
        }
    }

    #[test]
    fn the_archive_reads_back_with_parents_first() {
        let mut tree = Initramfs::new();
        tree.bytes("/etc/shadow", 0o640, "root:*:1::::::\n");
        tree.symlink("/bin/sh", "busybox");
        let entries = read_back(&tree);
        let at = |name: &str| entries.iter().position(|entry| entry.0 == name).unwrap();
        assert!(at("etc") < at("etc/shadow"));
        assert_eq!(entries[at("etc")].1, 0o040_755);
        assert_eq!(entries[at("etc/shadow")].1, 0o100_640);
        assert_eq!(entries[at("etc/shadow")].2, b"root:*:1::::::\n");
        assert_eq!(entries[at("usr/bin/sh")].1, 0o120_777);
        assert_eq!(entries[at("usr/bin/sh")].2, b"busybox");
        assert_eq!(entries[at("bin")].2, b"usr/bin");
    }

    #[test]
    fn a_program_brings_its_loader_to_the_path_it_names() {
        let program = std::env::current_exe().unwrap();
        let loader = elf::interpreter(&program).unwrap().unwrap();
        let mut tree = Initramfs::new();
        tree.host(&program, &program).unwrap();
        assert!(tree.contains(&program));
        assert!(tree.contains(loader));
    }

    #[test]
    fn a_directory_comes_whole_and_keeps_its_links() {
        let source = tempfile::tempdir().unwrap();
        fs::create_dir(source.path().join("deep")).unwrap();
        fs::write(source.path().join("deep/file"), "x").unwrap();
        std::os::unix::fs::symlink("deep/file", source.path().join("link")).unwrap();
        let mut tree = Initramfs::new();
        tree.host(source.path(), Path::new("/data")).unwrap();
        let entries = read_back(&tree);
        assert!(!tree.is_empty("/data/deep"));
        assert!(tree.is_empty("/data/link"));
        let content = |name: &str| &entries.iter().find(|entry| entry.0 == name).unwrap().2;
        assert_eq!(content("data/deep/file"), b"x");
        assert_eq!(content("data/link"), b"deep/file");
    }

    #[test]
    fn paths_lose_their_dots_and_go_through_the_links() {
        assert_eq!(
            inside(Path::new("/lib64/ld.so")),
            Path::new("usr/lib64/ld.so")
        );
        assert_eq!(inside(Path::new("/a/./b/../c")), Path::new("a/c"));
        assert_eq!(inside(Path::new("/library/x")), Path::new("library/x"));
    }
}
