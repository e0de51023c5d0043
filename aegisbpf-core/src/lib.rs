//! The library.

pub mod cgroup;
pub mod file_id;
mod mounts;
pub mod policy;
mod policy_file;
pub mod resolve;

pub use self::policy::Policy;
pub use self::policy_file::PolicyFileError;
