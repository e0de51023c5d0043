//! The commands of bpf(2) that the loader library cannot give: loading a program of the type `modify_return`, with the
//! types of its functions, and pinning it; and loading a program of a few instructions that no object has. The one place in
//! this workspace that hands addresses to the kernel.

use std::{
    ffi::CStr,
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
};

use aya_obj::generated::{bpf_func_info, bpf_insn};
use bytemuck::{Pod, Zeroable};

const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_OBJ_PIN: libc::c_long = 6;
const BPF_BTF_LOAD: libc::c_long = 18;

/// Where a program is to run: its type, and the type of the place (include/uapi/linux/bpf.h).
#[derive(Debug, Clone, Copy)]
pub(super) struct Kind(u32, u32);

impl Kind {
    /// At a security hook.
    pub(super) const LSM: Self = Self(29, 27);
    /// At a function that allows its result to be replaced.
    pub(super) const MODIFY_RETURN: Self = Self(26, 26);
}

/// What the types of a program's functions are: a function that another one is handed (bpf_loop) must have one.
#[derive(Clone, Copy)]
pub(super) struct Functions<'a> {
    /// The object's types, in the kernel.
    pub(super) types: BorrowedFd<'a>,
    /// Of each function, in the order of the instructions.
    pub(super) of: &'a [bpf_func_info],
}

/// Hands the type information of an object to the kernel.
///
/// # Errors
/// What the kernel says.
pub(super) fn load_types(types: &[u8]) -> io::Result<OwnedFd> {
    let attributes = BtfLoad {
        btf: types.as_ptr().expose_provenance() as u64,
        btf_log_buf: 0,
        btf_size: u32::try_from(types.len()).map_err(io::Error::other)?,
        btf_log_size: 0,
    };
    let fd = bpf(BPF_BTF_LOAD, &attributes)?;
    #[expect(unsafe_code, reason = "a descriptor from the kernel has no safe owner")]
    // SAFETY: the kernel has just made this descriptor for us; nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Loads a program for the kernel function whose type information has the number `target`. What the verifier says is
/// written to `log`, if that is not empty, and ends with a zero.
///
/// # Errors
/// What the kernel says.
pub(super) fn load(
    kind: Kind,
    instructions: &[bpf_insn],
    license: &CStr,
    name: &str,
    target: u32,
    functions: Option<Functions<'_>>,
    log: &mut [u8],
) -> io::Result<OwnedFd> {
    let mut prog_name = [0; 16];
    let length = name.len().min(prog_name.len() - 1);
    prog_name[..length].copy_from_slice(&name.as_bytes()[..length]);
    let mut attributes = ProgLoad {
        prog_type: kind.0,
        insn_cnt: u32::try_from(instructions.len()).map_err(io::Error::other)?,
        insns: instructions.as_ptr().expose_provenance() as u64,
        license: license.as_ptr().expose_provenance() as u64,
        log_level: u32::from(!log.is_empty()),
        log_size: u32::try_from(log.len()).map_err(io::Error::other)?,
        log_buf: if log.is_empty() {
            0
        } else {
            log.as_mut_ptr().expose_provenance() as u64
        },
        prog_name,
        expected_attach_type: kind.1,
        attach_btf_id: target,
        ..Zeroable::zeroed()
    };
    if let Some(functions) = functions {
        let number = |n: usize| u32::try_from(n).map_err(io::Error::other);
        attributes.prog_btf_fd =
            u32::try_from(functions.types.as_raw_fd()).map_err(io::Error::other)?;
        attributes.func_info = functions.of.as_ptr().expose_provenance() as u64;
        attributes.func_info_rec_size = number(size_of::<bpf_func_info>())?;
        attributes.func_info_cnt = number(functions.of.len())?;
    }
    let fd = bpf(BPF_PROG_LOAD, &attributes)?;
    #[expect(unsafe_code, reason = "a descriptor from the kernel has no safe owner")]
    // SAFETY: the kernel has just made this descriptor for us; nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Pins `object` at `path`.
///
/// # Errors
/// What the kernel says.
pub(super) fn pin(object: BorrowedFd<'_>, path: &CStr) -> io::Result<()> {
    let attributes = ObjPin {
        path: path.as_ptr().expose_provenance() as u64,
        fd: u32::try_from(object.as_raw_fd()).map_err(io::Error::other)?,
        flags: 0,
    };
    bpf(BPF_OBJ_PIN, &attributes).map(drop)
}

/// Attributes of a command, whose addresses are those of live memory of the lengths that it states beside them.
trait Attributes: Pod {}

impl Attributes for ProgLoad {}
impl Attributes for ObjPin {}
impl Attributes for BtfLoad {}

fn bpf<A: Attributes>(command: libc::c_long, attributes: &A) -> io::Result<RawFd> {
    #[expect(unsafe_code, reason = "bpf(2) has no safe wrapper for these commands")]
    // SAFETY: the kernel reads `size_of::<A>()` bytes at `attributes`. The addresses in it are made by the functions
    // above, from references that outlive this call; it reads there, and writes only to the log, which is borrowed mutably.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_ref(attributes),
            size_of::<A>(),
        )
    };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    RawFd::try_from(answer).map_err(io::Error::other)
}

/// `union bpf_attr` for `BPF_PROG_LOAD`, up to the last field that is used (include/uapi/linux/bpf.h).
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct ProgLoad {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
    prog_ifindex: u32,
    expected_attach_type: u32,
    prog_btf_fd: u32,
    func_info_rec_size: u32,
    func_info: u64,
    func_info_cnt: u32,
    line_info_rec_size: u32,
    line_info: u64,
    line_info_cnt: u32,
    attach_btf_id: u32,
}

/// `union bpf_attr` for `BPF_OBJ_PIN`.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct ObjPin {
    path: u64,
    fd: u32,
    flags: u32,
}

/// `union bpf_attr` for `BPF_BTF_LOAD`.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct BtfLoad {
    btf: u64,
    btf_log_buf: u64,
    btf_size: u32,
    btf_log_size: u32,
}
