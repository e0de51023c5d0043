//! The command `aegisbpf`.
fn main() {}
