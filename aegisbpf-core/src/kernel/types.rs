//! The running kernel's type information.

use std::path::Path;

use aya::Btf;
use once_cell::unsync::OnceCell;

use crate::{
    backend::Backend,
    error::{Error, Result},
};

/// Where the kernel tells it.
pub(super) const PLACE: &str = "/sys/kernel/btf/vmlinux";

/// The types, read when they are first asked for and then kept: parsing some megabytes takes tens of milliseconds, and a
/// start asks for several backends.
#[derive(Default)]
pub(super) struct Types(OnceCell<Btf>);

impl Types {
    /// The types.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if this kernel does not tell them.
    pub(super) fn get(&self, backend: Backend) -> Result<&Btf> {
        self.0
            .get_or_try_init(Btf::from_sys_fs)
            .map_err(|e| untold(backend, Some(e.into())))
    }

    /// Whether there are any; the loader reads those that it needs by itself.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if not.
    pub(super) fn require(backend: Backend) -> Result<()> {
        match Path::new(PLACE).exists() {
            true => Ok(()),
            false => Err(untold(backend, None)),
        }
    }
}

fn untold(backend: Backend, source: Option<crate::error::Source>) -> Error {
    Error::Unsupported {
        what: format!("loading the {backend} backend"),
        reason: format!("the kernel's type information cannot be read at {PLACE}"),
        remedy: "run a kernel built with CONFIG_DEBUG_INFO_BTF=y, as distributions' kernels are"
            .into(),
        source,
    }
}
