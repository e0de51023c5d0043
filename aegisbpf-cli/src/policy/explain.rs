//! `aegisbpf policy explain`: which rule of a file decides about an access, and why.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, Write},
    net::SocketAddr,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use aegisbpf_core::{
    FileId, Policy,
    cgroup::CgroupTree,
    policy::{Access, Effect, Explanation, Match, Operation, Proto, Role, Subject},
    resolve::resolve,
};
use serde::Serialize;

use super::{read, refuse};
use crate::{
    args::{ExplainArgs, WholeOperation},
    exit::Failure,
    out::{self, printable},
};

/// What is printed, for people and for machines.
#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    explanation: &'a Explanation,
    /// The rule that decides, in words.
    label: Option<String>,
}

pub(crate) fn explain(args: &ExplainArgs) -> Result<(), Failure> {
    let policy = read(&args.file, args.json)?;
    let resolution = match resolve(&policy) {
        Ok(resolution) => resolution,
        Err(problems) => return Err(refuse(&problems, args.json)?),
    };
    let explanation = policy.explain(&access(args, &policy)?, &resolution);
    if args.json {
        let label = explanation.rule.and_then(|id| policy.rule(id));
        return Ok(out::json(&Report {
            explanation: &explanation,
            label: label.map(aegisbpf_core::policy::Rule::label),
        })?);
    }
    Ok(text(&mut io::stdout().lock(), &policy, &explanation)?)
}

fn text(out: &mut impl Write, policy: &Policy, explanation: &Explanation) -> io::Result<()> {
    let label = |found: &Match| {
        policy
            .rule(found.rule)
            .map(aegisbpf_core::policy::Rule::label)
            .unwrap_or_default()
    };
    let effect = match explanation.effect {
        Effect::Deny => "denied",
        Effect::Allow => "allowed",
    };
    match explanation
        .matches
        .iter()
        .find(|found| found.role == Role::Decides)
    {
        Some(decides) => writeln!(out, "{effect} by {}", printable(&label(decides)))?,
        None => writeln!(out, "{effect}")?,
    }
    writeln!(out, "  why: {}", explanation.reason)?;
    for found in &explanation.matches {
        let role = match found.role {
            Role::Decides => continue,
            Role::Agrees => "agrees",
            Role::Overruled => "overruled",
        };
        writeln!(out, "  {role}: {}", printable(&label(found)))?;
    }
    for caveat in &explanation.caveats {
        writeln!(out, "  but: {caveat}")?;
    }
    Ok(())
}

/// What was asked about, with all names and identities that this host has for it.
fn access(args: &ExplainArgs, policy: &Policy) -> Result<Access, Failure> {
    let mut access = if let Some(path) = &args.path {
        file(path, args.execute)?
    } else if let Some(peer) = &args.connect {
        let (peer, proto) = protocol(peer)?;
        let Ok(peer) = peer.parse::<SocketAddr>() else {
            return Err(Failure::Usage(format!(
                "{peer} is not an address and a port: write `192.0.2.1:443`, `[2001:db8::1]:443` or `192.0.2.1:53/udp`"
            )));
        };
        Access::connect(peer.ip(), peer.port(), proto)
    } else if let Some(port) = &args.bind {
        let (port, proto) = protocol(port)?;
        let Ok(port) = port.parse() else {
            return Err(Failure::Usage(format!(
                "{port} is not a port: write `8080` or `53/udp`"
            )));
        };
        Access::bind(port, proto)
    } else {
        Access::of(match args.operation {
            Some(WholeOperation::ModuleLoad) => Operation::ModuleLoad,
            Some(WholeOperation::Bpf) => Operation::Bpf,
            _ => Operation::Ptrace,
        })
    };
    if let Some(executable) = &args.exec {
        access = by(access, executable, policy);
    }
    if let Some(cgroup) = &args.cgroup {
        access = in_cgroup(access, cgroup)?;
    }
    Ok(access.verified(args.verified))
}

/// The executable under its own name, the one that links lead to, and those by which rules name it.
fn by(access: Access, executable: &Path, policy: &Policy) -> Access {
    let real = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let target = real(executable);
    let named = policy
        .rules()
        .iter()
        .filter_map(|rule| match &rule.subject {
            Subject::Executable(path) if real(path) == target => Some(path),
            _ => None,
        });
    named.fold(access.by(executable).by(&target), Access::by)
}

/// Under its own name and the one that links lead to; a missing one below its real directory.
fn file(path: &Path, execute: bool) -> Result<Access, Failure> {
    let absolute = std::path::absolute(path)
        .map_err(|e| Failure::Usage(format!("{} is no path: {e}", path.display())))?;
    let mut access = match execute {
        true => Access::exec(&absolute),
        false => Access::file(&absolute),
    };
    if let (Some(parent), Some(name)) = (absolute.parent(), absolute.file_name())
        && let Ok(parent) = fs::canonicalize(parent)
    {
        access = access.at(parent.join(name));
    }
    if let Ok(target) = fs::canonicalize(&absolute) {
        access = access.at(target);
    }
    let above = access.names.last().cloned().unwrap_or_default();
    for directory in above.ancestors().skip(1) {
        if let Ok(meta) = fs::metadata(directory) {
            access = access.below(FileId::from_stat(meta.dev(), meta.ino()));
        }
    }
    Ok(match fs::metadata(&absolute) {
        Ok(meta) => access.identity(FileId::from_stat(meta.dev(), meta.ino())),
        Err(_) => access,
    })
}

/// `TEXT/udp` or `TEXT/tcp`, taken apart; without either, both are meant.
fn protocol(text: &str) -> Result<(&str, Proto), Failure> {
    match text.rsplit_once('/') {
        None => Ok((text, Proto::Any)),
        Some((text, "tcp")) => Ok((text, Proto::Tcp)),
        Some((text, "udp")) => Ok((text, Proto::Udp)),
        Some((_, other)) => Err(Failure::Usage(format!(
            "{other} is not a protocol: write `tcp` or `udp`"
        ))),
    }
}

/// By path or `cgid:N`, with the other of the two where the host has it, for each cgroup on the way to the root.
fn in_cgroup(access: Access, cgroup: &str) -> Result<Access, Failure> {
    let tree = CgroupTree::find().ok();
    let mut access = access;
    let path = match cgroup.strip_prefix("cgid:") {
        None if !cgroup.starts_with('/') => {
            return Err(Failure::Usage(format!(
                "{cgroup} is no cgroup: write its path from the cgroup root, or `cgid:N`"
            )));
        }
        None => {
            let below = Path::new(cgroup).strip_prefix("/sys/fs/cgroup");
            Some(below.map_or_else(
                |_| PathBuf::from(cgroup),
                |below| Path::new("/").join(below),
            ))
        }
        Some(id) => {
            let id: u64 = id
                .parse()
                .map_err(|_| Failure::Usage(format!("{cgroup} is no cgroup id: write `cgid:N`")))?;
            let path = tree
                .as_ref()
                .and_then(|tree| tree.paths(&BTreeSet::from([id])).remove(&id));
            access = access.in_cgroup_id(path.clone(), id);
            path
        }
    };
    if let Some(path) = path {
        access = access.in_cgroup(&path);
        for above in path.ancestors() {
            if let Some(Ok(id)) = tree.as_ref().map(|tree| tree.id(above)) {
                access = access.in_cgroup_id(Some(above.to_owned()), id);
            }
        }
    }
    Ok(access)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_protocol_stands_behind_a_slash() {
        let read = |text| protocol(text).ok();
        assert_eq!(read("[::1]:53/udp"), Some(("[::1]:53", Proto::Udp)));
        assert_eq!(read("53"), Some(("53", Proto::Any)));
        assert_eq!(read("53/sctp"), None);
    }
}
