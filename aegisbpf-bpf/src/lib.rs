//! The kernel side of AegisBPF: the BPF objects, embedded, and the layouts they share with user space.
//!
//! The objects are built from `bpf/*.c` by `cargo xtask bpf` with clang 19 and committed, so that nobody
//! else needs clang; a test rebuilds them and compares byte by byte. This crate holds no policy and does
//! no I/O.
//!
//! The C sources and the objects are GPL-2.0-only OR BSD-2-Clause (the kernel lets only such programs call
//! some of its helpers); the Rust code is MIT OR Apache-2.0 as the rest of the workspace.
#![forbid(unsafe_code)]

pub mod abi;
pub mod names;

/// ELF readers want their input aligned; `include_bytes!` alone promises nothing.
#[repr(C, align(16))]
struct Aligned<B: ?Sized>(B);

/// The `lsm` backend: programs on security hooks, which may refuse.
pub static AEGIS: &[u8] = &ALIGNED_AEGIS.0;
static ALIGNED_AEGIS: &Aligned<[u8]> = &Aligned(*include_bytes!("../object/aegis.bpf.o"));

/// The `modify_return` backend: the same programs, for functions that the security hooks stand in.
pub static MODIFY: &[u8] = &ALIGNED_MODIFY.0;
static ALIGNED_MODIFY: &Aligned<[u8]> = &Aligned(*include_bytes!("../object/modify.bpf.o"));

/// The `tracepoint` backend: audit only.
pub static OBSERVE: &[u8] = &ALIGNED_OBSERVE.0;
static ALIGNED_OBSERVE: &Aligned<[u8]> = &Aligned(*include_bytes!("../object/observe.bpf.o"));

/// The decision behind entry points that `BPF_PROG_TEST_RUN` can call: for tests and benchmarks.
pub static SELFTEST: &[u8] = &ALIGNED_SELFTEST.0;
static ALIGNED_SELFTEST: &Aligned<[u8]> = &Aligned(*include_bytes!("../object/selftest.bpf.o"));

/// Programs of a known price, to prove the measuring with.
pub static DOSE: &[u8] = &ALIGNED_DOSE.0;
static ALIGNED_DOSE: &Aligned<[u8]> = &Aligned(*include_bytes!("../object/dose.bpf.o"));
