//! A policy on this host: which file a path names now, which id a cgroup has. The only step that reads the host for a
//! policy; it asks for metadata and opens none of the files.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use serde::{Deserialize, Serialize};

use crate::cgroup::CgroupTree;
use crate::file_id::FileId;
use crate::locate::{ByStat, Identify, Locator, WatchedName};
use crate::mounts::Mounts;
use crate::policy::{CgroupRef, Facts, Object, Policy, Problems, Rule, RuleId, Subject};

/// What else a rule about a path holds on to, so that it survives the file's replacement.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Follow {
    /// The generation of the file's inode, where it tells one file from a later one with the same number.
    pub generation: Option<u32>,
    /// The file's name: whatever bears it is denied.
    pub name: Option<WatchedName>,
}

/// What a rule stands for on this host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Resolved {
    /// This file; a rule about all below a directory: this directory.
    File(FileId),
    /// The cgroup of this id.
    Cgroup(u64),
    /// This executable, and the file that it may access.
    Exception {
        /// The executable.
        executable: FileId,
        /// The file.
        object: FileId,
    },
    /// This executable, and the directory below which it may access all.
    ExceptionBelow {
        /// The executable.
        executable: FileId,
        /// The directory.
        directory: FileId,
    },
    /// What it says: the host has nothing to add.
    AsWritten,
    /// Nothing yet: the rule is pending.
    Unresolved(Reason),
}

/// Why a rule stands for nothing on this host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// No file has that name.
    NoSuchFile,
    /// The path is a symbolic link, or leads through one, to something that does not exist.
    DanglingLink {
        /// The link.
        link: PathBuf,
    },
    /// A directory on the way is closed to us.
    PermissionDenied,
    /// No cgroup has that name.
    NoSuchCgroup {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// No cgroup2 file system is mounted.
    NoCgroup2,
    /// The system said something else.
    System {
        /// Its error number.
        errno: i32,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchFile => f.write_str("no such file"),
            Self::DanglingLink { link } => {
                write!(f, "the target of the symbolic link {} does not exist", link.display())
            }
            Self::PermissionDenied => f.write_str("permission denied on the way to it; root can look it up"),
            Self::NoSuchCgroup { path } => write!(f, "no such cgroup: {} does not exist", path.display()),
            Self::NoCgroup2 => f.write_str(
                "no cgroup2 file system is mounted: `mount -t cgroup2 none /sys/fs/cgroup/unified` makes one",
            ),
            Self::System { errno } => nix::errno::Errno::from_raw(*errno).desc().fmt(f),
        }
    }
}

/// A policy with what its rules stand for on this host, as of the time of [`resolve`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolution {
    resolved: Vec<Resolved>,
    follows: Vec<Follow>,
    ancestors: BTreeMap<WatchedName, RuleId>,
    warnings: Problems,
}

impl Resolution {
    /// What the rule stands for; `None` if the policy has no such rule.
    #[must_use]
    pub fn get(&self, id: RuleId) -> Option<&Resolved> {
        self.resolved.get(id.index())
    }

    /// What the rule holds on to besides; nothing if it is not about a path.
    #[must_use]
    pub fn follow(&self, id: RuleId) -> Option<&Follow> {
        self.follows.get(id.index())
    }

    /// The directories on the way to the files, by name, each with the first rule whose file it leads to.
    pub fn ancestors(&self) -> impl Iterator<Item = (&WatchedName, RuleId)> {
        self.ancestors.iter().map(|(name, id)| (name, *id))
    }

    /// Does a rule of the policy hold for a name?
    #[must_use]
    pub fn follows_names(&self) -> bool {
        !self.ancestors.is_empty() || self.follows.iter().any(|follow| follow.name.is_some())
    }

    /// Do both stand for the same on the host, whatever they warn of?
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.resolved == other.resolved
            && self.follows == other.follows
            && self.ancestors == other.ancestors
    }

    /// All rules, in the order of their ids.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (RuleId, &Resolved)> {
        self.resolved
            .iter()
            .enumerate()
            .map(|(index, resolved)| (RuleId::from_index(index), resolved))
    }

    /// The rules about files that are there. Several rules may name one file.
    pub fn files(&self) -> impl Iterator<Item = (RuleId, FileId)> {
        self.iter().filter_map(|(id, resolved)| match resolved {
            Resolved::File(file) => Some((id, *file)),
            _ => None,
        })
    }

    /// The rules about cgroups that are there, with the cgroups' ids.
    pub fn cgroups(&self) -> impl Iterator<Item = (RuleId, u64)> {
        self.iter().filter_map(|(id, resolved)| match resolved {
            Resolved::Cgroup(cgroup) => Some((id, *cgroup)),
            _ => None,
        })
    }

    /// The rules that stand for nothing yet, and why.
    pub fn unresolved(&self) -> impl Iterator<Item = (RuleId, &Reason)> {
        self.iter().filter_map(|(id, resolved)| match resolved {
            Resolved::Unresolved(reason) => Some((id, reason)),
            _ => None,
        })
    }

    /// What the host makes of the policy that its author perhaps did not mean.
    #[must_use]
    pub fn warnings(&self) -> &Problems {
        &self.warnings
    }
}

impl Facts for Resolution {
    fn file(&self, rule: RuleId) -> Option<FileId> {
        match self.get(rule)? {
            Resolved::File(file) => Some(*file),
            _ => None,
        }
    }

    fn cgroup(&self, rule: RuleId) -> Option<u64> {
        match self.get(rule)? {
            Resolved::Cgroup(cgroup) => Some(*cgroup),
            _ => None,
        }
    }
}

/// Looks up the files and cgroups of `policy`. What does not exist is unresolved, not an error.
///
/// # Errors
/// All problems, warnings included, if a rule cannot hold on this host whatever happens: a directory where a file is
/// meant.
pub fn resolve(policy: &Policy) -> Result<Resolution, Problems> {
    resolve_by(policy, &mut ByStat)
}

/// [`resolve`], with another way to find out a file's identity.
pub(crate) fn resolve_by(
    policy: &Policy,
    identify: &mut dyn Identify,
) -> Result<Resolution, Problems> {
    // Without proc, files can still be looked up; cgroups say why they cannot.
    let mounts = Mounts::read().unwrap_or_default();
    let tree = CgroupTree::among(&mounts).ok();
    let gone = tree
        .as_ref()
        .map_or_else(BTreeSet::new, |tree| gone(policy, tree));
    let mut resolver = Resolver {
        mounts,
        tree,
        gone,
        locator: Locator::new(identify),
        ancestors: BTreeMap::new(),
        last_way: Rc::from([]),
        problems: Problems::default(),
    };
    let (resolved, follows) = policy
        .iter()
        .map(|(id, rule)| resolver.rule(id, rule))
        .unzip();
    let warnings = resolver.problems.verdict()?;
    Ok(Resolution {
        resolved,
        follows,
        ancestors: resolver.ancestors,
        warnings,
    })
}

struct Resolver<'a> {
    mounts: Mounts,
    tree: Option<CgroupTree>,
    /// The cgroup ids of the policy that no cgroup has.
    gone: BTreeSet<u64>,
    locator: Locator<'a>,
    ancestors: BTreeMap<WatchedName, RuleId>,
    last_way: Rc<[WatchedName]>,
    problems: Problems,
}

impl Resolver<'_> {
    fn rule(&mut self, id: RuleId, rule: &Rule) -> (Resolved, Follow) {
        let mut follow = Follow::default();
        let resolved = match (&rule.subject, &rule.object) {
            (Subject::Cgroup(CgroupRef::Path(path)), _) => self.cgroup_path(path),
            (Subject::Cgroup(CgroupRef::Id(id)), _) => self.cgroup_id(*id, rule),
            (Subject::Executable(exe), Object::Path(path) | Object::Dir(path)) => {
                self.exception(exe, path, rule, &mut follow)
            }
            (_, Object::Path(path) | Object::Dir(path)) => self.path(path, id, rule, &mut follow),
            (_, Object::Inode(id)) => Ok(self.inode(*id, rule)),
            _ => Ok(Resolved::AsWritten),
        };
        (resolved.unwrap_or_else(Resolved::Unresolved), follow)
    }

    fn exception(
        &mut self,
        exe: &Path,
        path: &Path,
        rule: &Rule,
        follow: &mut Follow,
    ) -> Result<Resolved, Reason> {
        let mut found = |path: &Path| {
            self.locator
                .locate(path)
                .and_then(|located| located.found.ok_or(ErrorKind::NotFound.into()))
                .map_err(|error| file_reason(path, &error))
        };
        let (executable, kind) = found(exe)?;
        let (object, object_kind) = found(path)?;
        if !kind.is_file() {
            let message = format!("{} is no file that could be executed", exe.display());
            let remedy = "write the path of the executable first, then what it may access";
            self.problems.error(rule.span(), message, remedy);
        }
        let (executable, generation) = (executable.file, object.generation);
        let object = object.file;
        if object_kind.is_dir() {
            follow.generation = generation;
            let directory = object;
            return Ok(Resolved::ExceptionBelow {
                executable,
                directory,
            });
        }
        if matches!(rule.object, Object::Dir(_)) {
            let message = format!("{} is no directory", path.display());
            let remedy = "leave the slash at its end out, if the file is meant";
            self.problems.error(rule.span(), message, remedy);
        }
        Ok(Resolved::Exception { executable, object })
    }

    fn path(
        &mut self,
        path: &Path,
        id: RuleId,
        rule: &Rule,
        follow: &mut Follow,
    ) -> Result<Resolved, Reason> {
        let located = self
            .locator
            .locate(path)
            .map_err(|error| file_reason(path, &error))?;
        // Neighbours share what leads to them.
        if !Rc::ptr_eq(&self.last_way, &located.ancestors) {
            for name in located.ancestors.iter() {
                self.ancestors.entry(name.clone()).or_insert(id);
            }
            self.last_way = located.ancestors;
        }
        follow.name = located.name;
        let target = located.target;
        let Some((identity, kind)) = located.found else {
            return Err(file_reason(path, &ErrorKind::NotFound.into()));
        };
        follow.generation = identity.generation;
        if let Some(link) = path.ancestors().find(|part| part.is_symlink()) {
            let message = format!(
                "{} leads through the symbolic link {}: {} is denied",
                path.display(),
                link.display(),
                target.display()
            );
            self.problems.warning(
                rule.span(),
                message,
                format!("write `{}` if that is meant", target.display()),
            );
        }
        match (kind.is_dir(), &rule.object) {
            (true, Object::Path(_)) => {
                let message = format!(
                    "{} is a directory, [deny_path] is about files",
                    path.display()
                );
                let remedy = "name the files in it, or write it under [deny_dir] (version=7), which denies all below it";
                self.problems.error(rule.span(), message, remedy);
            }
            (false, Object::Dir(_)) => {
                let message = format!(
                    "{} is no directory, [deny_dir] is about all below one",
                    path.display()
                );
                let remedy = "write it under [deny_path]";
                self.problems.error(rule.span(), message, remedy);
            }
            _ => {}
        }
        if !self.locator.is_exact() {
            self.check_device(&target, identity.file, rule);
        }
        Ok(Resolved::File(identity.file))
    }

    /// Some file systems tell stat(2) another device than the kernel's own, by which rules are matched.
    fn check_device(&mut self, target: &Path, id: FileId, rule: &Rule) {
        if let Some(mount) = self.mounts.of(target).filter(|mount| mount.dev != id.dev) {
            let message = format!(
                "{} is on {}, whose files have another device inside the kernel ({}) than stat(2) tells ({}): the rule \
                 may not match",
                target.display(),
                mount.fs_type,
                mount.dev,
                id.dev
            );
            let remedy =
                "open the file in audit mode and see in `aegisbpf stats` that the rule counts it";
            self.problems.warning(rule.span(), message, remedy);
        }
    }

    fn inode(&mut self, id: FileId, rule: &Rule) -> Resolved {
        let as_stat = FileId::from_stat(id.dev.into(), id.ino);
        if self.mounts.has_device(id.dev) {
            // The usual case: the spelling is right.
        } else if self.mounts.has_device(as_stat.dev) {
            let message = format!(
                "no mounted file system has the device {}, but one has it as st_dev, which stat(1) prints and the \
                 kernel encodes otherwise",
                id.dev
            );
            self.problems
                .warning(rule.span(), message, format!("write `{as_stat}`"));
        } else {
            let message = format!(
                "no mounted file system has the device {} ({}:{})",
                id.dev,
                id.major(),
                id.minor()
            );
            let remedy = "write the device as major << 20 | minor; `lsblk` and `findmnt -o MAJ:MIN` print the two";
            self.problems.warning(rule.span(), message, remedy);
        }
        Resolved::File(id)
    }

    fn cgroup_path(&self, path: &Path) -> Result<Resolved, Reason> {
        let tree = self.tree.as_ref().ok_or(Reason::NoCgroup2)?;
        tree.id(path)
            .map(Resolved::Cgroup)
            .map_err(|error| match error.kind() {
                ErrorKind::NotFound | ErrorKind::NotADirectory => Reason::NoSuchCgroup {
                    path: tree.directory(path),
                },
                _ => system_reason(&error),
            })
    }

    fn cgroup_id(&mut self, id: u64, rule: &Rule) -> Result<Resolved, Reason> {
        if self.tree.is_none() {
            return Err(Reason::NoCgroup2);
        }
        if self.gone.contains(&id) {
            let message = format!("no cgroup has the id {id} now");
            let remedy = "a cgroup made anew has another id: write its path instead";
            self.problems.warning(rule.span(), message, remedy);
        }
        Ok(Resolved::Cgroup(id))
    }
}

/// The cgroup ids that `policy` names and `tree` lacks; none if the tree is too large to tell.
fn gone(policy: &Policy, tree: &CgroupTree) -> BTreeSet<u64> {
    let ids = policy.rules().iter().filter_map(|rule| match rule.subject {
        Subject::Cgroup(CgroupRef::Id(id)) => Some(id),
        _ => None,
    });
    let mut ids = BTreeSet::from_iter(ids);
    let (found, complete) = tree.walk(&ids);
    ids.retain(|id| complete && !found.contains_key(id));
    ids
}

fn file_reason(path: &Path, error: &io::Error) -> Reason {
    if error.kind() != ErrorKind::NotFound {
        return system_reason(error);
    }
    let dangling = |part: &&Path| part.is_symlink() && !part.exists();
    match path.ancestors().find(dangling) {
        Some(link) => Reason::DanglingLink {
            link: link.to_owned(),
        },
        None => Reason::NoSuchFile,
    }
}

fn system_reason(error: &io::Error) -> Reason {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => Reason::NoSuchFile,
        ErrorKind::PermissionDenied => Reason::PermissionDenied,
        _ => Reason::System {
            errno: error.raw_os_error().unwrap_or_default(),
        },
    }
}
