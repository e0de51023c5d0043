//! Loading `modify_return` programs, a type that aya 0.14 does not know.
//!
//! Such a program runs at a kernel function that allows it (the `security_*` functions do) and may give its result in
//! the function's place, so it refuses like an LSM program, also where the active LSM list has no `bpf`. aya-obj reads
//! and relocates the object; what remains is one system call, `BPF_PROG_LOAD` with another attach type. The kernel
//! attaches such a program as it attaches `fexit` ones, so aya's [`FExit`] takes over from there.
//!
//! Minimum kernel: 5.7 (`BPF_MODIFY_RETURN` in include/uapi/linux/bpf.h).

use std::{
    collections::{BTreeMap, HashSet},
    ffi::CString,
    fs,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
};

use aya::{
    Btf, Ebpf,
    maps::Map,
    programs::{FExit, Program},
};
use aya_obj::{
    Function, Object,
    btf::{BtfFeatures, BtfKind},
};

use super::{
    hooks::{Hook, Place},
    private_mount, syscall,
};
use crate::error::{Error, Result, Source};

/// Room for what the verifier has to say when it refuses.
const LOG_BYTES: usize = 64 << 10;

/// An object whose programs are loaded at functions of the kernel, one by one.
pub(super) struct Modifier {
    object: Object,
    types: OwnedFd,
    license: CString,
}

impl Modifier {
    /// Reads and relocates `bytes`, over the maps of `ebpf`, which was loaded from the same bytes and still has them. The
    /// programs name them by descriptors: whoever takes the maps must keep them as long as programs are loaded.
    ///
    /// # Errors
    /// If the object does not fit this kernel's types.
    pub(super) fn over(bytes: &[u8], btf: &Btf, ebpf: &Ebpf) -> Result<Self> {
        Self::new(bytes, btf, |name| ebpf.map(name).and_then(descriptor))
    }

    /// Reads and relocates `bytes`. The programs share maps that are there already: `maps` has them by name.
    ///
    /// # Errors
    /// If the object does not fit this kernel's types, or a map is missing.
    pub(super) fn new<'a>(
        bytes: &[u8],
        btf: &Btf,
        maps: impl Fn(&str) -> Option<BorrowedFd<'a>>,
    ) -> Result<Self> {
        let failed = |e: Source| Error::kernel("relocating the programs for modify_return", e);
        let mut object = Object::parse(bytes).map_err(|e| failed(e.into()))?;
        // All but the newest kinds of types, which Linux 6.0 brought, and empty sections.
        let known = BtfFeatures::new(true, true, true, false, true, true, true, false);
        let own = object
            .fixup_and_sanitize_btf(&known)
            .map_err(|e| failed(e.into()))?
            .ok_or_else(|| failed("it has no type information".into()))?;
        let types = syscall::load_types(&own.to_bytes()).map_err(|e| failed(e.into()))?;
        object.relocate_btf(btf).map_err(|e| failed(e.into()))?;
        let text: HashSet<usize> = object
            .functions
            .keys()
            .map(|(section, _)| *section)
            .collect();
        let declared = std::mem::take(&mut object.maps);
        let known = declared.iter().filter_map(|(name, map)| {
            let fd = maps(name)?;
            Some((name.as_str(), fd.as_raw_fd(), map))
        });
        object
            .relocate_maps(known, &text)
            .map_err(|e| failed(e.into()))?;
        object.relocate_calls(&text).map_err(|e| failed(e.into()))?;
        let license = object.license.clone();
        Ok(Self {
            object,
            types,
            license,
        })
    }

    /// Has the kernel verify `program` for its function `security_…`. The handle is made through a pin at `pin`,
    /// which is removed again: aya takes a program that it did not load only from there.
    ///
    /// # Errors
    /// If the kernel lacks the function, or refuses the program.
    pub(super) fn load(
        &self,
        program: &str,
        function: &str,
        btf: &Btf,
        pin: &Path,
    ) -> Result<FExit> {
        let failed = |e: Source| Error::kernel(format!("loading modify_return/{function}"), e);
        let target = btf
            .id_by_type_name_kind(function, BtfKind::Func)
            .map_err(|e| failed(e.into()))?;
        let function = self
            .object
            .programs
            .get(program)
            .and_then(|p| self.object.functions.get(&p.function_key()))
            .ok_or_else(|| failed("it is not in the embedded object".into()))?;
        let fd = self.verify(function, program, target).map_err(failed)?;
        let path = CString::new(pin.as_os_str().as_bytes()).map_err(|e| failed(e.into()))?;
        syscall::pin(fd.as_fd(), &path).map_err(|e| failed(e.into()))?;
        let taken = FExit::from_pin(pin).map_err(|e| failed(e.into()));
        fs::remove_file(pin).map_err(|e| failed(e.into()))?;
        taken
    }

    fn verify(&self, function: &Function, name: &str, target: u32) -> Result<OwnedFd, Source> {
        let types = syscall::Functions {
            types: self.types.as_fd(),
            of: &function.func_info.func_info,
        };
        let code = function.instructions.as_slice();
        let load = |log: &mut [u8]| {
            let kind = syscall::Kind::MODIFY_RETURN;
            syscall::load(kind, code, &self.license, name, target, Some(types), log)
        };
        load(&mut []).or_else(|refusal| {
            // Once more, to hear why. The end of what the verifier says is what matters.
            let mut log = vec![0; LOG_BYTES];
            load(&mut log).map_err(|_| {
                let end = log.iter().position(|b| *b == 0).unwrap_or(log.len());
                let said = String::from_utf8_lossy(&log[..end]);
                let last: Vec<&str> = said.lines().rev().take(3).collect();
                let last: Vec<&str> = last.into_iter().rev().collect();
                // A refusal for want of rights comes before the verifier, which then has said nothing.
                match last.join("; ") {
                    said if said.is_empty() => refusal.into(),
                    said => format!("{refusal}: {said}").into(),
                }
            })
        })
    }
}

/// Loads the programs of `hooks`.
///
/// # Errors
/// [`Error::Unsupported`] if this kernel refuses, with what it said.
pub(super) fn load_all(
    modifier: &Modifier,
    btf: &Btf,
    hooks: &[Hook],
) -> Result<BTreeMap<&'static str, Program>> {
    let load = |place: &Path| -> Result<BTreeMap<&'static str, Program>> {
        let mut programs = BTreeMap::new();
        for hook in hooks {
            let Place::Modify(name) = hook.place else {
                continue;
            };
            // (A bpf file system takes no dot in a name.)
            let pin = place.join(format!("aegisbpf-{}-{}", std::process::id(), hook.program));
            match modifier.load(hook.program, &format!("security_{name}"), btf, &pin) {
                Ok(program) => {
                    programs.insert(hook.program, Program::FExit(program));
                }
                Err(_) if hook.optional => {}
                Err(e) => return Err(e),
            }
        }
        Ok(programs)
    };
    let unsupported = |reason: String, remedy: &str, source: Source| Error::Unsupported {
        what: "loading the modify_return backend".into(),
        reason,
        remedy: remedy.into(),
        source: Some(source),
    };
    private_mount::with_bpffs(load)
        .map_err(|e| {
            let remedy = "run as root, or: mount -t bpf bpf /sys/fs/bpf";
            unsupported("no bpf file system can be had".into(), remedy, e.into())
        })?
        .map_err(|e| {
            let remedy = "`aegisbpf doctor` says what this host has";
            unsupported("the kernel refused a program".into(), remedy, e.into())
        })
}

/// The descriptor of a map of one of the types that our objects have.
pub(super) fn descriptor(map: &Map) -> Option<BorrowedFd<'_>> {
    match map {
        Map::Array(data)
        | Map::ArrayOfMaps(data)
        | Map::HashMap(data)
        | Map::LpmTrie(data)
        | Map::LruHashMap(data)
        | Map::PerCpuArray(data)
        | Map::PerCpuHashMap(data)
        | Map::RingBuf(data) => Some(data.fd().as_fd()),
        _ => None,
    }
}
