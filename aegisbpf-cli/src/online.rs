//! `aegisbpf policy apply|show|export|rollback`: the policy of a running enforcer.

mod apply;
mod dry_run;
mod show;

pub(crate) use self::{
    apply::{apply, rollback, supported, tell},
    show::{export, show},
};
