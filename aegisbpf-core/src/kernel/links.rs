//! What holds programs to their hooks: descriptors that end with this process, or pins that do not.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    thread,
};

use aya::programs::{
    CgroupAttachMode, Program, ProgramError,
    cgroup_sock_addr::CgroupSockAddrLink,
    fexit::FExitLink,
    links::{FdLink, PinnedLink},
    lsm::LsmLink,
    raw_trace_point::RawTracePointLink,
    trace_point::TracePointLink,
};

use super::{
    hooks::{Hook, Place},
    pins,
};
use crate::{
    cgroup::CgroupTree,
    error::{Error, Result},
};

/// The hooks that are attached.
pub(super) enum Links {
    /// By descriptors of ours.
    Held(Vec<(Hook, Link)>),
    /// By pins in this directory, whoever made them.
    Pinned(PathBuf),
}

/// One attached program.
pub(super) enum Link {
    Lsm(LsmLink),
    Modify(FExitLink),
    Syscall(TracePointLink),
    Raw(RawTracePointLink),
    SockAddr(CgroupSockAddrLink),
}

impl Link {
    /// Attaches `program` where `hook` says; what goes to a cgroup, to the one at `scope` or else to the root.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub(super) fn attach(program: &mut Program, hook: &Hook, scope: Option<&Path>) -> Result<Self> {
        let attached = match (program, hook.place) {
            (Program::Lsm(p), Place::Lsm(_)) => {
                p.attach().and_then(|id| p.take_link(id)).map(Self::Lsm)
            }
            (Program::FExit(p), Place::Modify(_)) => {
                p.attach().and_then(|id| p.take_link(id)).map(Self::Modify)
            }
            (Program::TracePoint(p), Place::Syscall(point)) => p
                .attach("syscalls", point)
                .and_then(|id| p.take_link(id))
                .map(Self::Syscall),
            (Program::RawTracePoint(p), Place::Raw(point)) => p
                .attach(point)
                .and_then(|id| p.take_link(id))
                .map(Self::Raw),
            (Program::CgroupSockAddr(p), Place::SockAddr(_)) => {
                let cgroup = cgroup(scope)?;
                // A link leaves others their programs there, whatever the mode: each is asked, one refusal is enough.
                p.attach(cgroup, CgroupAttachMode::Single)
                    .and_then(|id| p.take_link(id))
                    .map(Self::SockAddr)
            }
            _ => Err(ProgramError::UnexpectedProgramType),
        };
        attached.map_err(|e| Error::kernel(format!("attaching {}", hook.name()), e))
    }

    /// The descriptor, which can be pinned. Kernels before 5.15 have none for tracepoints.
    fn into_fd(self) -> Result<FdLink, crate::error::Source> {
        Ok(match self {
            Self::Lsm(link) => link.into(),
            Self::Modify(link) => link.into(),
            Self::Raw(link) => link.into(),
            Self::Syscall(link) => link.try_into()?,
            Self::SockAddr(link) => link.try_into()?,
        })
    }
}

/// The directory of the cgroup that programs are attached to.
fn cgroup(scope: Option<&Path>) -> Result<File> {
    let path = match scope {
        Some(path) => path.to_owned(),
        None => CgroupTree::find()
            .map_err(|e| Error::Unsupported {
                what: "attaching the rules about the network to a cgroup".into(),
                reason: "no cgroup2 file system is mounted".into(),
                remedy: "mount -t cgroup2 none /sys/fs/cgroup/unified".into(),
                source: Some(e.into()),
            })?
            .root()
            .to_owned(),
    };
    File::open(&path).map_err(|e| Error::kernel(format!("opening {}", path.display()), e))
}

impl Links {
    /// The hooks among `all` that are attached now.
    pub(super) fn attached(&self, all: &[Hook]) -> Vec<Hook> {
        match self {
            Self::Held(links) => links.iter().map(|(hook, _)| *hook).collect(),
            Self::Pinned(directory) => {
                let names = pins::names(directory);
                all.iter()
                    .filter(|hook| names.iter().any(|name| **name == *hook.link()))
                    .copied()
                    .collect()
            }
        }
    }

    /// Keeps what was just attached.
    ///
    /// # Errors
    /// If it cannot be pinned; then it is detached.
    pub(super) fn hold(&mut self, hook: Hook, link: Link) -> Result<()> {
        match self {
            Self::Held(links) => links.push((hook, link)),
            Self::Pinned(directory) => {
                let failed = |e: crate::error::Source| {
                    Error::kernel(format!("pinning the link of {}", hook.name()), e)
                };
                link.into_fd()
                    .map_err(failed)?
                    .pin(directory.join(&*hook.link()))
                    .map_err(|e| failed(e.into()))?;
            }
        }
        Ok(())
    }

    /// Detaches `hooks`. Closing a link waits until no program run is left that began before, so it is done side by
    /// side. A pin's last reference is given up by the kernel a moment after its name has gone.
    ///
    /// # Errors
    /// If a pin cannot be removed.
    pub(super) fn release(&mut self, hooks: &[Hook]) -> Result<()> {
        let mut closing: Vec<Box<dyn Send>> = Vec::new();
        match self {
            Self::Held(links) => {
                let (close, keep) = std::mem::take(links)
                    .into_iter()
                    .partition(|(hook, _)| hooks.contains(hook));
                *links = keep;
                let close: Vec<(Hook, Link)> = close;
                closing.extend(
                    close
                        .into_iter()
                        .map(|(_, link)| Box::new(link) as Box<dyn Send>),
                );
            }
            Self::Pinned(directory) => {
                for hook in hooks {
                    let gone = PinnedLink::from_pin(directory.join(&*hook.link()))
                        .map_err(io::Error::other)
                        .and_then(PinnedLink::unpin)
                        .map_err(|e| Error::kernel(format!("detaching {}", hook.name()), e))?;
                    closing.push(Box::new(gone));
                }
            }
        }
        thread::scope(|scope| {
            for link in closing {
                scope.spawn(move || drop(link));
            }
        });
        Ok(())
    }
}
