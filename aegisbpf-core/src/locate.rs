//! Where a path leads on this host: the identity of the file that is there, and the names that lead to it, which rules
//! follow when another file comes to bear them.

use std::{
    collections::HashMap,
    fs::{self, File, FileType, OpenOptions},
    io::{self, ErrorKind},
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
    rc::Rc,
};

use nix::libc;
use serde::{Deserialize, Serialize};

use crate::file_id::FileId;

/// So many symbolic links the kernel follows in one path.
const LINKS: usize = 40;

/// A file, and which of all that ever had its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Identity {
    /// Device and inode number.
    pub file: FileId,
    /// The inode's generation, where the file system keeps it as long as the inode.
    pub generation: Option<u32>,
}

/// How a file's identity is found out.
pub(crate) trait Identify {
    /// The identity of an open file; a descriptor by `O_PATH` will do.
    fn identify(&mut self, file: &File) -> io::Result<Identity>;

    /// Is the device the one that the kernel's hooks will see, on any file system?
    fn is_exact(&self) -> bool;
}

/// By stat(2), which tells another device than the kernel's own on btrfs and overlays, and no generation.
pub(crate) struct ByStat;

impl Identify for ByStat {
    fn identify(&mut self, file: &File) -> io::Result<Identity> {
        let meta = file.metadata()?;
        Ok(Identity {
            file: FileId::from_stat(meta.dev(), meta.ino()),
            generation: None,
        })
    }

    fn is_exact(&self) -> bool {
        false
    }
}

/// A name in a directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct WatchedName {
    /// The directory.
    pub directory: FileId,
    /// The name's bytes.
    pub name: Vec<u8>,
}

/// What a rule about a path holds on to.
#[derive(Clone, Debug)]
pub(crate) struct Located {
    /// The path without symbolic links.
    pub(crate) target: PathBuf,
    /// What is there, if something is.
    pub(crate) found: Option<(Identity, FileType)>,
    /// Its name in its directory, if that exists. The root has none.
    pub(crate) name: Option<WatchedName>,
    /// The names of the directories on the way. Where one is missing it is the last.
    pub(crate) ancestors: Rc<[WatchedName]>,
}

/// Finds files, and remembers the directories on the way.
pub(crate) struct Locator<'a> {
    identify: &'a mut dyn Identify,
    directories: HashMap<PathBuf, (FileId, Rc<[WatchedName]>)>,
}

impl<'a> Locator<'a> {
    pub(crate) fn new(identify: &'a mut dyn Identify) -> Self {
        Self {
            identify,
            directories: HashMap::new(),
        }
    }

    /// Follows `path`, also to where nothing is yet.
    ///
    /// # Errors
    /// If a directory on the way cannot be looked into.
    pub(crate) fn locate(&mut self, path: &Path) -> io::Result<Located> {
        let path = followed(path)?;
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            let target = fs::canonicalize(&path)?;
            let (_, ancestors) = self.directory(&target)?;
            return Ok(Located {
                found: Some(self.look(&target)?),
                name: None,
                ancestors,
                target,
            });
        };
        let parent = match fs::canonicalize(parent) {
            Ok(parent) => parent,
            Err(e) if e.kind() == ErrorKind::NotFound => return self.missing(&path),
            Err(e) => return Err(e),
        };
        let (directory, ancestors) = self.directory(&parent)?;
        let target = parent.join(name);
        let found = match self.look(&target) {
            Ok(found) => Some(found),
            Err(e) if e.kind() == ErrorKind::NotFound => None,
            Err(e) => return Err(e),
        };
        let name = Some(WatchedName {
            directory,
            name: name.as_bytes().to_vec(),
        });
        Ok(Located {
            target,
            found,
            name,
            ancestors,
        })
    }

    /// A path whose directory is missing: the first name that is.
    fn missing(&mut self, path: &Path) -> io::Result<Located> {
        for (below, above) in path.ancestors().zip(path.ancestors().skip(1)) {
            let Ok(above) = fs::canonicalize(above) else {
                continue;
            };
            let (directory, ancestors) = self.directory(&above)?;
            let mut ancestors = ancestors.to_vec();
            ancestors.extend(below.file_name().map(|name| WatchedName {
                directory,
                name: name.as_bytes().to_vec(),
            }));
            return Ok(Located {
                target: path.to_owned(),
                found: None,
                name: None,
                ancestors: ancestors.into(),
            });
        }
        Err(ErrorKind::NotFound.into())
    }

    /// The identity of a directory, and the names that lead to it.
    fn directory(&mut self, path: &Path) -> io::Result<(FileId, Rc<[WatchedName]>)> {
        if let Some(known) = self.directories.get(path) {
            return Ok(known.clone());
        }
        let (identity, _) = self.look(path)?;
        let ancestors = match (path.parent(), path.file_name()) {
            (Some(parent), Some(name)) => {
                let (directory, above) = self.directory(parent)?;
                let mut names = above.to_vec();
                names.push(WatchedName {
                    directory,
                    name: name.as_bytes().to_vec(),
                });
                names.into()
            }
            _ => Rc::from([]),
        };
        let known = (identity.file, ancestors);
        self.directories.insert(path.to_owned(), known.clone());
        Ok(known)
    }

    /// See [`Identify::is_exact`].
    pub(crate) fn is_exact(&self) -> bool {
        self.identify.is_exact()
    }

    fn look(&mut self, path: &Path) -> io::Result<(Identity, FileType)> {
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_PATH | libc::O_NOFOLLOW)
            .open(path)?;
        let kind = file.metadata()?.file_type();
        Ok((self.identify.identify(&file)?, kind))
    }
}

/// The path with the symbolic links at its end followed, also the last one that leads nowhere.
fn followed(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..LINKS {
        if !path.is_symlink() {
            return Ok(path);
        }
        let target = fs::read_link(&path)?;
        path = match path.parent() {
            Some(parent) => parent.join(target),
            None => target,
        };
    }
    Err(nix::errno::Errno::ELOOP.into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn locate(path: &Path) -> Located {
        Locator::new(&mut ByStat).locate(path).unwrap()
    }

    fn id(path: &Path) -> FileId {
        let meta = fs::metadata(path).unwrap();
        FileId::from_stat(meta.dev(), meta.ino())
    }

    #[test]
    fn a_file_has_an_identity_a_name_and_a_way() {
        let folder = tempfile::tempdir().unwrap();
        let home = fs::canonicalize(folder.path()).unwrap();
        let file = home.join("file");
        fs::write(&file, "").unwrap();
        let located = locate(&file);
        assert_eq!(located.found.unwrap().0.file, id(&file));
        let name = located.name.unwrap();
        assert_eq!(
            (name.directory, name.name.as_slice()),
            (id(&home), &b"file"[..])
        );
        assert_eq!(located.ancestors.len(), home.components().count() - 1);
        assert_eq!(located.ancestors[0].directory, id(Path::new("/")));
        let last = located.ancestors.last().unwrap();
        assert_eq!(last.name, home.file_name().unwrap().as_bytes());
    }

    #[test]
    fn what_is_missing_is_named_where_it_would_be() {
        let folder = tempfile::tempdir().unwrap();
        let home = fs::canonicalize(folder.path()).unwrap();
        let located = locate(&home.join("file"));
        assert!(located.found.is_none());
        assert_eq!(located.name.unwrap().directory, id(&home));

        let located = locate(&home.join("a/b/file"));
        assert!(located.found.is_none() && located.name.is_none());
        let last = located.ancestors.last().unwrap();
        assert_eq!(
            (last.directory, last.name.as_slice()),
            (id(&home), &b"a"[..])
        );
    }

    #[test]
    fn links_are_followed_also_into_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let home = fs::canonicalize(folder.path()).unwrap();
        symlink("second", home.join("first")).unwrap();
        symlink("nothing", home.join("second")).unwrap();
        let located = locate(&home.join("first"));
        assert_eq!(located.target, home.join("nothing"));
        assert_eq!(located.name.unwrap().name, b"nothing");
        symlink("around", home.join("around")).unwrap();
        assert!(
            Locator::new(&mut ByStat)
                .locate(&home.join("around"))
                .is_err()
        );
    }

    #[test]
    fn the_root_has_no_name() {
        let located = locate(Path::new("/"));
        assert!(located.name.is_none() && located.ancestors.is_empty());
        assert_eq!(located.found.unwrap().0.file, id(Path::new("/")));
    }
}
