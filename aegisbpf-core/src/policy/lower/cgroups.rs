//! Cgroups: who is exempt, and what is denied to them alone.

use std::path::{Component, Path, PathBuf};

use super::super::object::Object;
use super::super::problem::{Problems, quote};
use super::super::rule::{CGROUP_PREFIX, CgroupRef, Effect, Operation, Subject};
use super::super::section::NEWEST;
use super::super::text::Part;
use super::{Format, Meaning, files, network};
use crate::file_id::is_decimal;

pub(super) fn allow(part: Part<'_>, problems: &mut Problems) -> Option<Meaning> {
    let cgroup = cgroup(part, problems)?;
    if is_root(&cgroup) {
        problems.warning(
            part.span(),
            format!(
                "{} is the root cgroup, which holds every process: no rule denies anything",
                quote(part.text)
            ),
            "name the cgroup of the service that needs access, as `/system.slice/ssh.service`",
        );
    }
    Some((
        Effect::Allow,
        Subject::Cgroup(cgroup),
        Operation::Any,
        Object::Any,
    ))
}

pub(super) fn deny_inode(
    part: Part<'_>,
    format: Format,
    problems: &mut Problems,
) -> Option<Meaning> {
    let (subject, rest) = scoped(part, "8388609:1234", problems)?;
    let id = files::inode(rest, format, problems);
    Some((Effect::Deny, subject?, Operation::Open, Object::Inode(id?)))
}

pub(super) fn deny_ip(part: Part<'_>, format: Format, problems: &mut Problems) -> Option<Meaning> {
    let (subject, rest) = scoped(part, "192.0.2.1", problems)?;
    let address = network::address(rest, problems)?;
    if format.version < NEWEST && rest.text.contains(':') {
        let message = format!(
            "an IPv6 address in [cgroup_deny_ip] needs version={NEWEST}, this file says version={}",
            format.version
        );
        problems.error(
            rest.span(),
            message,
            format!("write `version={NEWEST}` above the first section"),
        );
        return None;
    }
    Some((
        Effect::Deny,
        subject?,
        Operation::Network,
        Object::Address(address),
    ))
}

pub(super) fn deny_port(part: Part<'_>, problems: &mut Problems) -> Option<Meaning> {
    let (subject, rest) = scoped(part, "443:tcp", problems)?;
    let (operation, object) = network::port(rest, problems)?;
    Some((Effect::Deny, subject?, operation, object))
}

/// The cgroup, up to the first blank, and what it is denied. The cgroup is `None` if it is none, which is reported.
fn scoped<'a>(
    part: Part<'a>,
    example: &str,
    problems: &mut Problems,
) -> Option<(Option<Subject>, Part<'a>)> {
    let Some((first, rest)) = part.split_at_blank() else {
        let message = format!(
            "{} is not a cgroup, a blank, and what it is denied",
            quote(part.text)
        );
        let remedy = format!("write both, as `/system.slice/x.service {example}`");
        problems.error(part.span(), message, remedy);
        return None;
    };
    Some((cgroup(first, problems).map(Subject::Cgroup), rest))
}

fn cgroup(part: Part<'_>, problems: &mut Problems) -> Option<CgroupRef> {
    match part.text.strip_prefix("cgid:") {
        Some(id) => id_of(id, part, problems).map(CgroupRef::Id),
        None => path_of(part, problems).map(CgroupRef::Path),
    }
}

fn is_root(cgroup: &CgroupRef) -> bool {
    matches!(cgroup, CgroupRef::Path(path) if path == Path::new("/")) || *cgroup == CgroupRef::Id(1)
}

fn id_of(id: &str, part: Part<'_>, problems: &mut Problems) -> Option<u64> {
    let parsed = Some(id)
        .filter(|id| is_decimal(id))
        .and_then(|id| id.parse().ok())
        .filter(|id| *id != 0);
    if parsed.is_none() {
        problems.error(
            part.span(),
            format!(
                "{} is no cgroup id: a decimal number from 1 follows `cgid:`",
                quote(part.text)
            ),
            "write the inode number of the cgroup's directory, which `stat -c %i` prints",
        );
    }
    parsed
}

/// The cgroup's path from the cgroup root.
fn path_of(part: Part<'_>, problems: &mut Problems) -> Option<PathBuf> {
    let text = part.text;
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
        problems.error(part.span(), message, remedy);
        return None;
    }
    let path = files::within_limits(part, problems)?;
    if path
        .components()
        .any(|component| component == Component::ParentDir)
    {
        let message = format!("{} has a `..` in it", quote(text));
        problems.error(part.span(), message, "write the path of the cgroup itself");
        return None;
    }
    Some(match path.strip_prefix(CGROUP_PREFIX) {
        Ok(below) => Path::new("/").join(below),
        Err(_) => path,
    })
}
