//! Any bytes give a policy or problems, never a panic; and a policy survives being written and read.
//!
//! With cargo-fuzz and a nightly toolchain:
//!
//! ```text
//! cargo +nightly fuzz run policy fixtures/policies/valid fixtures/policies/invalid -- -max_len=4096
//! ```
//!
//! Without, on stable (no address sanitizer, which safe code does without):
//!
//! ```text
//! cd fuzz
//! RUSTFLAGS='-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
//!   -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table -Ccodegen-units=1' \
//!   cargo run --release --target x86_64-unknown-linux-gnu --bin policy -- corpus ../fixtures/policies/valid ../fixtures/policies/invalid
//! ```
#![no_main]

use aegisbpf_core::{
    Policy,
    policy::{Access, Class, Diff, Proto, Unsupported, Written},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let policy = match Policy::parse_bytes(bytes, "fuzz") {
        Ok(policy) => policy,
        Err(problems) => {
            assert!(problems.has_errors());
            assert!(!problems.to_string().is_empty());
            return;
        }
    };
    let text = policy.to_string();
    let again =
        Policy::parse(&text, "again").unwrap_or_else(|problems| panic!("{text}\n{problems}"));
    assert_eq!(again, policy, "{text}");
    assert_eq!(again.to_string(), text);
    assert!(Diff::between(&policy, &again).is_empty());
    for (_, rule) in policy.iter() {
        assert!(!rule.label().is_empty());
        if let Some(path) = rule.path() {
            let _ = policy.explain(&Access::exec(path).by("/bin/x").in_cgroup("/x"), &Written);
        }
    }
    let _ = policy.explain(&Access::bind(443, Proto::Tcp), &Written);
    let only_files = |class| match class {
        Class::File => Ok(()),
        _ => Err(Unsupported::new("fuzz", "fuzz")),
    };
    let (rest, _) = policy.without_unsupported(only_files);
    assert!(rest.refusals(only_files).is_empty());
});
