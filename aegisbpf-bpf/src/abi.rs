//! The layouts that kernel and user space share: `bpf/abi.h`, field by field and in the same order.
//!
//! Sizes and offsets are asserted here and in the header; the test `layout_of_the_objects_is_ours` reads
//! them out of the built objects. Deriving [`bytemuck::Pod`] refuses hidden padding.

mod event;
mod files;
mod state;
mod values;

pub use self::{event::*, files::*, state::*, values::*};

/// Version of everything in this module. A change of any layout raises it, and of what user space must write for the programs.
pub const ABI_VERSION: u32 = 4;
