//! Files: by path, by identity, by name, and whole directories of them.

use std::path::{Path, PathBuf};

use super::super::object::Object;
use super::super::problem::{Problems, quote};
use super::super::rule::{Effect, Operation, Subject};
use super::super::section::NEWEST;
use super::super::text::{Part, is_blank};
use super::{Format, Meaning, deny};
use crate::file_id::{FileId, MAJOR_MAX, MINOR_MAX, ParseFileIdError, is_decimal};

/// The most bytes that a path may have.
const PATH_MAX: usize = 255;
/// The most bytes that the kernel keeps of the name of what a process executes (`TASK_COMM_LEN`, without the NUL).
const COMM_MAX: usize = 15;

pub(super) fn deny_path(
    part: Part<'_>,
    format: Format,
    problems: &mut Problems,
) -> Option<Meaning> {
    let path = file(part, format, problems)?;
    Some(deny(Operation::Open, Object::Path(path)))
}

pub(super) fn protect_path(
    part: Part<'_>,
    format: Format,
    problems: &mut Problems,
) -> Option<Meaning> {
    let path = file(part, format, problems)?;
    Some((
        Effect::Deny,
        Subject::Unverified,
        Operation::Open,
        Object::Path(path),
    ))
}

pub(super) fn deny_dir(part: Part<'_>, problems: &mut Problems) -> Option<Meaning> {
    let path = absolute(part, problems)?;
    Some(deny(Operation::Open, Object::Dir(path)))
}

pub(super) fn allow_exec(part: Part<'_>, problems: &mut Problems) -> Option<Meaning> {
    // Both may have blanks in them, but the second begins with a slash.
    let at = part
        .text
        .match_indices(is_blank)
        .map(|(at, _)| at)
        .find(|at| {
            part.text[at + 1..]
                .trim_start_matches(is_blank)
                .starts_with('/')
        });
    let Some(at) = at else {
        let remedy = "write the two absolute paths with a blank between them, as `/usr/sbin/sshd /etc/shadow`";
        let message = format!("{} is not `executable path`", quote(part.text));
        problems.error(part.span(), message, remedy);
        return None;
    };
    let (executable, object) = part.text.split_at(at);
    let executable = part.narrow(executable).trimmed();
    let object = part.narrow(object).trimmed();
    // Both, so that both are reported.
    let executable = absolute(executable, problems).map(|path| (path, executable));
    let path = absolute(object, problems);
    let (executable, written) = executable?;
    let path = path?;
    if written.text.ends_with('/') && written.text != "/" && !written.text.ends_with("#/") {
        let message = format!("{} ends in a slash, as a directory", quote(written.text));
        problems.warning(written.span(), message, "name the executable itself");
    }
    let object = if object.text.ends_with('/') || path == Path::new("/") {
        Object::Dir(path)
    } else {
        Object::Path(path)
    };
    Some((
        Effect::Allow,
        Subject::Executable(executable),
        Operation::Open,
        object,
    ))
}

pub(super) fn deny_comm(part: Part<'_>, problems: &mut Problems) -> Option<Meaning> {
    let text = part.text;
    let (message, remedy) = if text.contains('/') {
        let name = text
            .rsplit('/')
            .find(|name| !name.is_empty())
            .unwrap_or("name");
        (
            format!(
                "{} is a path, [deny_comm] takes the name of a file",
                quote(text)
            ),
            format!("write `{name}`, or put the path under [deny_path]"),
        )
    } else if text.contains('\0') {
        (
            format!("{} contains a NUL byte, which no name can", quote(text)),
            "remove it".to_owned(),
        )
    } else if text.len() > COMM_MAX {
        (
            format!(
                "the name has {} bytes, at most {COMM_MAX} are allowed",
                text.len()
            ),
            "put the path of the executable under [deny_path]".to_owned(),
        )
    } else if text == "." || text == ".." {
        (
            format!("{} is the name of a directory", quote(text)),
            "write the name of an executable file".to_owned(),
        )
    } else {
        if text.contains(['*', '?']) {
            let message = format!(
                "{} is taken as it stands, names are no patterns",
                quote(text)
            );
            problems.warning(part.span(), message, "name each file");
        }
        return Some(deny(Operation::Exec, Object::Name(text.to_owned())));
    };
    problems.error(part.span(), message, remedy);
    None
}

pub(super) fn deny_inode(
    part: Part<'_>,
    format: Format,
    problems: &mut Problems,
) -> Option<Meaning> {
    let id = inode(part, format, problems)?;
    Some(deny(Operation::Open, Object::Inode(id)))
}

/// `dev:ino`, and `major:minor:ino` in the newest version.
pub(super) fn inode(part: Part<'_>, format: Format, problems: &mut Problems) -> Option<FileId> {
    let text = part.text;
    let version = format.version;
    let (message, remedy) = match (text.parse(), by_parts(text)) {
        (Ok(id), _) => return Some(id),
        (_, Some(id)) if version >= NEWEST => return Some(id),
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
    problems.error(part.span(), message, remedy);
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

/// The path of a file, with warnings about what people take for more than it is.
fn file(part: Part<'_>, format: Format, problems: &mut Problems) -> Option<PathBuf> {
    let path = absolute(part, problems)?;
    let Format { version } = format;
    if version < NEWEST && part.text.contains(" #") {
        let text = quote(part.text);
        problems.warning(
            part.span(),
            format!("the `#` in {text} is part of the path: version {version} has no comments after an entry"),
            "put the comment on a line of its own",
        );
    }
    Some(path)
}

/// The path from `/`, within the limits.
fn absolute(part: Part<'_>, problems: &mut Problems) -> Option<PathBuf> {
    let text = part.text;
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
            part.span(),
            format!("{} is not an absolute path", quote(text)),
            remedy,
        );
        return None;
    }
    let path = within_limits(part, problems)?;
    if text.contains('*') {
        problems.warning(
            part.span(),
            format!(
                "the `*` in {} is taken as it stands, paths are no patterns",
                quote(text)
            ),
            "name each file",
        );
    }
    Some(path)
}

/// The entry as a path, without doubled slashes and `.` parts.
pub(super) fn within_limits(part: Part<'_>, problems: &mut Problems) -> Option<PathBuf> {
    let length = part.text.len();
    if length > PATH_MAX {
        let message = format!("the path has {length} bytes, at most {PATH_MAX} are allowed");
        problems.error(
            part.span(),
            message,
            "name a shorter path to the file, through a parent nearer to `/`",
        );
        return None;
    }
    if part.text.contains('\0') {
        let message = format!(
            "{} contains a NUL byte, which no path can",
            quote(part.text)
        );
        problems.error(part.span(), message, "remove it");
        return None;
    }
    Some(Path::new(part.text).components().collect())
}
