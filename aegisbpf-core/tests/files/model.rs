//! What a policy about names means for a small tree, in a hundred lines and without a kernel: which files are bound to
//! a rule, and so which operations of a denied process may not succeed.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

/// What an operation must come to, if a denied process does it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It does not succeed.
    Refused,
    /// It succeeds or fails, but not by a refusal.
    Free,
    /// The kernel itself refuses it, to anybody.
    Impossible,
}

impl Verdict {
    fn refused_if(refused: bool) -> Self {
        if refused { Self::Refused } else { Self::Free }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    File,
    Directory,
    Link(PathBuf),
}

#[derive(Debug)]
struct Node {
    kind: Kind,
    /// Names in a directory are watched by its number.
    ino: u64,
    is_bound: bool,
}

/// Where a path leads.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// To nothing, and nothing can be made there.
    Nowhere,
    Vacant(Name),
    At(Name, usize),
}

/// A directory's node, and a name in it.
type Name = (usize, String);

const ROOT: usize = 0;
/// How many links a path may lead through.
const LINKS: u32 = 40;

/// The tree below a directory, and what the policy knows of it.
pub(crate) struct Model {
    root: PathBuf,
    nodes: Vec<Node>,
    names: BTreeMap<Name, usize>,
    /// Names of denied files, and of directories on the way to them: a directory's number, and a name in it.
    denied: BTreeSet<(u64, String)>,
    on_the_way: BTreeSet<(u64, String)>,
}

impl Model {
    pub(crate) fn new(root: &Path, ino: u64) -> Self {
        let node = Node {
            kind: Kind::Directory,
            ino,
            is_bound: false,
        };
        Self {
            root: root.to_owned(),
            nodes: vec![node],
            names: BTreeMap::new(),
            denied: BTreeSet::new(),
            on_the_way: BTreeSet::new(),
        }
    }

    /// A policy against `path`, which leads through no links, is applied.
    pub(crate) fn deny(&mut self, path: &Path) {
        let (name, node) = match self.find(path, false) {
            Place::Vacant(name) => (name, None),
            Place::At(name, node) => (name, Some(node)),
            Place::Nowhere => panic!("{}: no such directory", path.display()),
        };
        if let Some(node) = node {
            self.nodes[node].is_bound = true;
        }
        self.denied.insert(self.key(&name));
        let mut way = path.parent().unwrap_or(&self.root).to_owned();
        while let Place::At(name, _) = self.find(&way, false) {
            self.on_the_way.insert(self.key(&name));
            way.pop();
        }
    }

    /// What `operation` on these paths must come to for a denied process.
    pub(crate) fn verdict(&self, operation: &str, paths: &[PathBuf]) -> Verdict {
        let at = |n: usize| self.find(&paths[n], false);
        let is_new = |place: &Place| matches!(place, Place::Vacant(name) if self.is_denied(name));
        match operation {
            "create" | "mkdir" | "mknod" => Verdict::refused_if(is_new(&at(0))),
            "symlink" => Verdict::refused_if(is_new(&at(1))),
            "tmpfile" => Verdict::refused_if(self.is_watched_and_vacant(&at(0))),
            "open or create" => match self.find(&paths[0], true) {
                Place::At(_, node) => self.bound(node),
                place => Verdict::refused_if(is_new(&place)),
            },
            "link" => match at(0) {
                Place::At(_, node) if self.is_directory(node) => Verdict::Impossible,
                Place::At(_, node) if matches!(at(1), Place::Vacant(_)) => Verdict::refused_if(
                    self.nodes[node].is_bound || self.is_watched_and_vacant(&at(1)),
                ),
                _ => Verdict::Free,
            },
            "unlink" => match at(0) {
                Place::At(_, node) if !self.is_directory(node) => self.bound(node),
                _ => Verdict::Free,
            },
            "rmdir" => match at(0) {
                Place::At(name, node) if self.is_directory(node) => {
                    Verdict::refused_if(self.nodes[node].is_bound || self.is_on_the_way(&name))
                }
                _ => Verdict::Free,
            },
            "rename" => self.judge_rename(at(0), at(1)),
            "exchange" => match (at(0), at(1)) {
                (Place::At(a, from), Place::At(b, to))
                    if from != to && !self.is_within(&a, to) && !self.is_within(&b, from) =>
                {
                    let is_bound = self.nodes[from].is_bound || self.nodes[to].is_bound;
                    Verdict::refused_if(is_bound || self.is_watched(&a) || self.is_watched(&b))
                }
                _ => Verdict::Free,
            },
            _ => match self.find(&paths[0], true) {
                Place::At(_, node) => self.bound(node),
                _ => Verdict::Free,
            },
        }
    }

    fn judge_rename(&self, from: Place, to: Place) -> Verdict {
        let Place::At(a, node) = from else {
            return Verdict::Free;
        };
        let (b, replaced) = match to {
            Place::At(_, other)
                if other == node || self.is_directory(other) != self.is_directory(node) =>
            {
                return Verdict::Free;
            }
            Place::At(b, other) if self.is_within(&a, other) => {
                debug_assert!(self.is_directory(other), "{b:?}");
                return Verdict::Free;
            }
            Place::At(b, other) => (b, Some(other)),
            Place::Vacant(b) => (b, None),
            Place::Nowhere => return Verdict::Free,
        };
        if self.is_within(&b, node) {
            return Verdict::Free;
        }
        let is_bound = |node: usize| self.nodes[node].is_bound;
        Verdict::refused_if(
            is_bound(node)
                || replaced.is_some_and(is_bound)
                || self.is_watched(&b)
                || self.is_on_the_way(&a),
        )
    }

    /// `operation` has succeeded. `ino` tells the number of what is now at a path. False if it cannot have.
    pub(crate) fn done(
        &mut self,
        operation: &str,
        paths: &[PathBuf],
        ino: impl Fn(&Path) -> u64,
    ) -> bool {
        let last = paths.len() - 1;
        let kind = match operation {
            "mkdir" => Kind::Directory,
            "symlink" => Kind::Link(paths[0].clone()),
            _ => Kind::File,
        };
        match operation {
            "create" | "mkdir" | "mknod" | "symlink" | "tmpfile" => {
                match self.find(&paths[last], false) {
                    Place::Vacant(name) => self.make(name, kind, ino(&paths[last])),
                    _ => false,
                }
            }
            "open or create" => match self.find(&paths[0], true) {
                Place::Vacant(name) => self.make(name, kind, ino(&paths[0])),
                place => place != Place::Nowhere,
            },
            "link" => match (self.find(&paths[0], false), self.find(&paths[1], false)) {
                (Place::At(_, node), Place::Vacant(name)) => self.put(name, node),
                _ => false,
            },
            "unlink" | "rmdir" => match self.find(&paths[0], false) {
                Place::At(name, _) => self.names.remove(&name).is_some(),
                _ => false,
            },
            "rename" => match (self.find(&paths[0], false), self.find(&paths[1], false)) {
                (Place::At(_, node), Place::At(_, other)) if node == other => true,
                (Place::At(from, node), Place::At(to, other)) => {
                    self.nodes[other].is_bound |= self.is_denied(&to);
                    self.move_to(&from, to, node)
                }
                (Place::At(from, node), Place::Vacant(to)) => self.move_to(&from, to, node),
                _ => false,
            },
            "exchange" => match (self.find(&paths[0], false), self.find(&paths[1], false)) {
                (Place::At(a, from), Place::At(b, to)) => {
                    let is_bound = from != to && (self.is_denied(&a) || self.is_denied(&b));
                    for node in [from, to] {
                        self.nodes[node].is_bound |= is_bound;
                    }
                    self.names.insert(a, to);
                    self.names.insert(b, from);
                    true
                }
                _ => false,
            },
            _ => matches!(self.find(&paths[0], true), Place::At(..)),
        }
    }

    /// Every name that the tree has, whether a directory is behind it, and whether a denied process is refused there.
    pub(crate) fn names(&self) -> Vec<(PathBuf, bool, bool)> {
        let mut found = Vec::new();
        let mut open = vec![(ROOT, self.root.clone())];
        while let Some((directory, path)) = open.pop() {
            for ((_, name), node) in self.names.iter().filter(|((dir, _), _)| *dir == directory) {
                let path = path.join(name);
                if self.is_directory(*node) {
                    open.push((*node, path.clone()));
                }
                let is_refused =
                    self.verdict("open", std::slice::from_ref(&path)) == Verdict::Refused;
                found.push((path, self.is_directory(*node), is_refused));
            }
        }
        found
    }

    fn make(&mut self, name: Name, kind: Kind, ino: u64) -> bool {
        self.nodes.push(Node {
            kind,
            ino,
            is_bound: false,
        });
        self.put(name, self.nodes.len() - 1)
    }

    fn put(&mut self, name: Name, node: usize) -> bool {
        self.nodes[node].is_bound |= self.is_denied(&name);
        self.names.insert(name, node);
        true
    }

    fn move_to(&mut self, from: &Name, to: Name, node: usize) -> bool {
        self.nodes[node].is_bound |= self.is_denied(from);
        self.names.remove(from);
        self.put(to, node)
    }

    fn find(&self, path: &Path, follow: bool) -> Place {
        self.walk(path, follow, LINKS)
    }

    fn walk(&self, path: &Path, follow: bool, links: u32) -> Place {
        let Ok(path) = path.strip_prefix(&self.root) else {
            return Place::Nowhere;
        };
        let mut directory = ROOT;
        let mut rest = path.components();
        while let Some(component) = rest.next() {
            let name = (
                directory,
                component.as_os_str().to_string_lossy().into_owned(),
            );
            let is_last = rest.as_path().as_os_str().is_empty();
            let Some(&node) = self.names.get(&name) else {
                return if is_last {
                    Place::Vacant(name)
                } else {
                    Place::Nowhere
                };
            };
            match &self.nodes[node].kind {
                Kind::Link(_) if links == 0 => return Place::Nowhere,
                Kind::Link(target) if !is_last || follow => {
                    return self.walk(&target.join(rest.as_path()), follow, links - 1);
                }
                _ if is_last => return Place::At(name, node),
                Kind::Directory => directory = node,
                _ => return Place::Nowhere,
            }
        }
        Place::Nowhere
    }

    fn key(&self, (directory, name): &Name) -> (u64, String) {
        (self.nodes[*directory].ino, name.clone())
    }

    fn is_denied(&self, name: &Name) -> bool {
        self.denied.contains(&self.key(name))
    }

    fn is_on_the_way(&self, name: &Name) -> bool {
        self.on_the_way.contains(&self.key(name))
    }

    fn is_watched(&self, name: &Name) -> bool {
        self.is_denied(name) || self.is_on_the_way(name)
    }

    fn is_watched_and_vacant(&self, place: &Place) -> bool {
        matches!(place, Place::Vacant(name) if self.is_watched(name))
    }

    fn is_directory(&self, node: usize) -> bool {
        self.nodes[node].kind == Kind::Directory
    }

    fn bound(&self, node: usize) -> Verdict {
        Verdict::refused_if(self.nodes[node].is_bound)
    }

    /// Is the name in the directory `outer` or below it?
    fn is_within(&self, (directory, _): &Name, outer: usize) -> bool {
        let mut inner = *directory;
        loop {
            if inner == outer {
                return true;
            }
            let above = self.names.iter().find(|(_, node)| **node == inner);
            match above {
                Some(((directory, _), _)) if inner != ROOT => inner = *directory,
                _ => return false,
            }
        }
    }
}
