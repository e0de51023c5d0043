//! Entries to rules: what each line means, within the limits of the language, and each meaning once.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use super::object::Object;
use super::parse::{Document, Entry};
use super::problem::{Problems, quote};
use super::rule::{CGROUP_PREFIX, CgroupRef, Effect, Operation, Rule, Subject};
use super::section::{Kind, NEWEST};
use super::tags::Tags;
use crate::file_id::{FileId, MAJOR_MAX, MINOR_MAX, ParseFileIdError, is_decimal};

/// The most bytes that a path may have.
const PATH_MAX: usize = 255;

/// Turns the entries into rules, in their order, and adds to `problems` those that are none.
pub(super) fn lower(document: &Document<'_>, problems: &mut Problems) -> Vec<Rule> {
    let version = document.version.unwrap_or(NEWEST);
    let mut rules: Vec<Rule> = Vec::new();
    let mut first_lines = HashMap::new();
    for entry in &document.entries {
        let lowered = match entry.section.kind {
            Kind::DenyPath => deny_path(entry, version, problems),
            Kind::DenyInode => deny_inode(entry, version, problems),
            Kind::AllowCgroup => allow_cgroup(entry, problems),
            Kind::Refused | Kind::RefusedAddress | Kind::RefusedFlag => None,
        };
        let Some((effect, subject, object)) = lowered else {
            continue;
        };
        let key = (effect, subject.clone(), object.clone());
        let line = entry.span.origin.line;
        let first = *first_lines.entry(key).or_insert(line);
        if first != line {
            problems.warning(
                entry.span.clone(),
                format!(
                    "{} says the same as line {first}; it counts once",
                    quote(entry.text)
                ),
                "remove one of the two lines",
            );
            continue;
        }
        rules.push(Rule {
            effect,
            subject,
            operation: match effect {
                Effect::Deny => Operation::Open,
                Effect::Allow => Operation::Any,
            },
            object,
            note: entry.note.map(Into::into),
            tags: Tags::default(),
            origin: entry.span.origin.clone(),
        });
    }
    rules
}

/// What an entry means.
type Lowered = Option<(Effect, Subject, Object)>;

fn deny_path(entry: &Entry<'_>, version: u8, problems: &mut Problems) -> Lowered {
    let text = entry.text;
    if !text.starts_with('/') {
        let remedy = if text.parse::<FileId>().is_ok() {
            "put an inode under [deny_inode]"
        } else if text.starts_with("cgid:") {
            "put a cgroup under [allow_cgroup]"
        } else if text.starts_with('~') {
            "`~` is not expanded: write the path of the home directory"
        } else if text.starts_with(['"', '\'']) {
            "write the path without quotes"
        } else {
            "write the whole path, from `/`"
        };
        problems.error(
            entry.span.clone(),
            format!("{} is not an absolute path", quote(text)),
            remedy,
        );
        return None;
    }
    let path = within_limits(entry, problems)?;
    if version < NEWEST && text.contains(" #") {
        problems.warning(
            entry.span.clone(),
            format!("the `#` in {} is part of the path: version {version} has no comments after an entry", quote(text)),
            "put the comment on a line of its own",
        );
    }
    if text.contains('*') {
        problems.warning(
            entry.span.clone(),
            format!(
                "the `*` in {} is taken as it stands, paths are no patterns",
                quote(text)
            ),
            "name each file",
        );
    }
    Some((Effect::Deny, Subject::Any, Object::Path(path)))
}

fn deny_inode(entry: &Entry<'_>, version: u8, problems: &mut Problems) -> Lowered {
    let text = entry.text;
    let (message, remedy) = match (text.parse(), by_parts(text)) {
        (Ok(id), _) => return Some((Effect::Deny, Subject::Any, Object::Inode(id))),
        (_, Some(id)) if version >= NEWEST => {
            return Some((Effect::Deny, Subject::Any, Object::Inode(id)));
        }
        (_, Some(id)) => (
            format!("`major:minor:ino` needs version={NEWEST}, this file says version={version}"),
            format!("write `{id}`, with the device as major << 20 | minor"),
        ),
        (Err(_), _) if text.starts_with('/') => (
            format!("{} is a path", quote(text)),
            "put a path under [deny_path]".to_owned(),
        ),
        (Err(ParseFileIdError::Shape), _) if version >= NEWEST => (
            format!("{} is neither `dev:ino` nor `major:minor:ino`", quote(text)),
            format!(
                "write decimal numbers, as `8:1:1234`; a major is at most {MAJOR_MAX}, a minor {MINOR_MAX}"
            ),
        ),
        (Err(error), _) => (format!("{}: {error}", quote(text)), inode_remedy(error)),
    };
    problems.error(entry.span.clone(), message, remedy);
    None
}

fn inode_remedy(error: ParseFileIdError) -> String {
    match error {
        ParseFileIdError::DeviceRange => {
            "write the device as the kernel encodes it, major << 20 | minor: 8388609 for 8:1"
        }
        ParseFileIdError::InodeRange => "write the number that `stat -c %i FILE` prints",
        _ => "write `dev:ino` in decimal, with dev as major << 20 | minor: `8388609:1234` for inode 1234 of device 8:1",
    }
    .to_owned()
}

/// Reads `major:minor:ino`.
fn by_parts(text: &str) -> Option<FileId> {
    let mut parts = text.split(':').map(str::trim_ascii);
    let mut part = || parts.next().filter(|part| is_decimal(part));
    let (major, minor, ino) = (part()?, part()?, part()?);
    let major = major.parse().ok().filter(|major| *major <= MAJOR_MAX)?;
    let minor = minor.parse().ok().filter(|minor| *minor <= MINOR_MAX)?;
    let id = FileId::from_parts(major, minor, ino.parse().ok()?);
    parts.next().is_none().then_some(id)
}

fn allow_cgroup(entry: &Entry<'_>, problems: &mut Problems) -> Lowered {
    let cgroup = match entry.text.strip_prefix("cgid:") {
        Some(id) => CgroupRef::Id(cgroup_id(id, entry, problems)?),
        None => CgroupRef::Path(cgroup_path(entry, problems)?),
    };
    if matches!(&cgroup, CgroupRef::Path(path) if path == Path::new("/"))
        || cgroup == CgroupRef::Id(1)
    {
        problems.warning(
            entry.span.clone(),
            format!(
                "{} is the root cgroup, which holds every process: no rule denies anything",
                quote(entry.text)
            ),
            "name the cgroup of the service that needs access, as `/system.slice/ssh.service`",
        );
    }
    Some((Effect::Allow, Subject::Cgroup(cgroup), Object::Any))
}

fn cgroup_id(id: &str, entry: &Entry<'_>, problems: &mut Problems) -> Option<u64> {
    let parsed = Some(id)
        .filter(|id| is_decimal(id))
        .and_then(|id| id.parse().ok())
        .filter(|id| *id != 0);
    if parsed.is_none() {
        problems.error(
            entry.span.clone(),
            format!(
                "{} is no cgroup id: a decimal number from 1 follows `cgid:`",
                quote(entry.text)
            ),
            "write the inode number of the cgroup's directory, which `stat -c %i` prints",
        );
    }
    parsed
}

/// The cgroup's path from the cgroup root.
fn cgroup_path(entry: &Entry<'_>, problems: &mut Problems) -> Option<PathBuf> {
    let text = entry.text;
    if !text.starts_with('/') {
        let remedy = if is_decimal(text) {
            format!("write `cgid:{text}` for a cgroup id")
        } else {
            format!(
                "begin at the cgroup root: `/{}`",
                text.trim_start_matches("./")
            )
        };
        let message = format!(
            "{} is neither an absolute cgroup path nor `cgid:N`",
            quote(text)
        );
        problems.error(entry.span.clone(), message, remedy);
        return None;
    }
    let path = within_limits(entry, problems)?;
    if path
        .components()
        .any(|component| component == Component::ParentDir)
    {
        let message = format!("{} has a `..` in it", quote(text));
        problems.error(
            entry.span.clone(),
            message,
            "write the path of the cgroup itself",
        );
        return None;
    }
    Some(match path.strip_prefix(CGROUP_PREFIX) {
        Ok(below) => Path::new("/").join(below),
        Err(_) => path,
    })
}

/// The entry as a path, without doubled slashes and `.` parts.
fn within_limits(entry: &Entry<'_>, problems: &mut Problems) -> Option<PathBuf> {
    let length = entry.text.len();
    if length > PATH_MAX {
        let message = format!("the path has {length} bytes, at most {PATH_MAX} are allowed");
        problems.error(
            entry.span.clone(),
            message,
            "name a shorter path to the file, through a parent nearer to `/`",
        );
        return None;
    }
    if entry.text.contains('\0') {
        let message = format!(
            "{} contains a NUL byte, which no path can",
            quote(entry.text)
        );
        problems.error(entry.span.clone(), message, "remove it");
        return None;
    }
    Some(Path::new(entry.text).components().collect())
}
