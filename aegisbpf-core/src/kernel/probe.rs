//! Asking the kernel whether it takes programs of a kind at all, by the smallest one: to hear no after a whole object was
//! loaded would cost a tenth of a second.

use aya_obj::{btf::BtfKind, generated::bpf_insn};

use super::{
    object,
    syscall::{self, Kind},
    types::Types,
};
use crate::{backend::Backend, error::Result};

/// The code of `r0 = 0`, and of `exit` (include/uapi/linux/bpf.h).
const ALLOW: [u8; 2] = [0xb7, 0x95];

/// Whether a program that allows everything would load where those of this backend run; it is not attached. Nothing is
/// asked for backends that every kernel with BPF has.
///
/// # Errors
/// [`Error::Unsupported`](crate::Error::Unsupported), as loading them all would give.
pub(super) fn takes(backend: Backend, types: &Types) -> Result<()> {
    let (kind, function) = match backend {
        Backend::Lsm => (Kind::LSM, "bpf_lsm_file_open"),
        Backend::ModifyReturn => (Kind::MODIFY_RETURN, "security_file_open"),
        Backend::Tracepoint | Backend::Sock => return Ok(()),
    };
    let target = types
        .get(backend)?
        .id_by_type_name_kind(function, BtfKind::Func);
    target
        .map_err(crate::error::Source::from)
        .and_then(|target| {
            let nothing = ALLOW.map(|code| bpf_insn {
                code,
                _bitfield_align_1: [],
                _bitfield_1: bpf_insn::new_bitfield_1(0, 0),
                off: 0,
                imm: 0,
            });
            let answer =
                syscall::load(kind, &nothing, c"GPL", "aegis_probe", target, None, &mut []);
            answer.map(drop).map_err(Into::into)
        })
        .map_err(|e| object::refusal(backend, "a program that does nothing", e))
}
