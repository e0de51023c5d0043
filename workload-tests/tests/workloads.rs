//! The workloads: `cargo test --release -p workload-tests -- --ignored`.

fn main() -> std::process::ExitCode {
    workload_tests::harness::main()
}
