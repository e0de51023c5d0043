//! Operations that are denied as such: tracing, loading modules, bpf(2).

use std::process::{Command, Stdio};

use aegisbpf_core::{Access, Backend, Enforcer, Mode, Policy};

use super::probe::{EPERM, errno};
use crate::Fact;
use crate::common::wait_for;

/// What rules about operations as such do.
pub(crate) const FACTS: &[(&str, Fact)] = &[
    (
        "tracing_is_denied_and_reading_proc_is_not",
        tracing_is_denied_and_reading_proc_is_not,
    ),
    (
        "loading_a_module_is_denied_by_file_and_by_memory",
        loading_a_module_is_denied_by_file_and_by_memory,
    ),
    (
        "bpf_is_denied_to_others_and_not_to_us",
        bpf_is_denied_to_others_and_not_to_us,
    ),
];

const NO_SUCH_FORMAT: i32 = 8;

fn attached(backend: Backend, mode: Mode, sections: &str) -> Enforcer {
    let policy: Policy = format!("version=7\n{sections}").parse().unwrap();
    Enforcer::builder()
        .backend(backend)
        .mode(mode)
        .policy(policy)
        .attach()
        .unwrap_or_else(|e| panic!("{}", e.chain()))
}

fn nothing(aegis: &mut Enforcer) {
    aegis.apply(&"version=7\n".parse().unwrap()).unwrap();
    assert!(aegis.links().is_empty());
}

pub(crate) fn tracing_is_denied_and_reading_proc_is_not(backend: Backend) {
    let mut sleeper = Command::new("sleep").arg("600").spawn().unwrap();
    let pid = sleeper.id();
    // PTRACE_ATTACH, process_vm_readv, PTRACE_TRACEME, and what ps reads.
    let attach = format!("end(syscall(101, 16, {pid}, 0, 0) == 0)");
    let memory = format!(
        "my $b = 'x' x 8; my $l = pack('P Q', $b, 8); my $r = pack('Q Q', 0x1000, 8); \
         end(syscall(310, {pid}, $l, 1, $r, 1, 0) >= 0)"
    );
    let traceme = "end(syscall(101, 0, 0, 0, 0) == 0)";
    let ps = format!("open(my $f, '<', '/proc/{pid}/maps') or end(0); my @l = <$f>; end(@l > 0)");
    let mut aegis = attached(backend, Mode::Enforce, "[deny_ptrace]\n");
    let mut events = aegis.events().unwrap();
    assert_eq!(errno(&attach), EPERM);
    assert_eq!(errno(&memory), EPERM);
    assert_eq!(errno(traceme), EPERM);
    assert_eq!(errno(&ps), 0, "reading /proc is no tracing");
    let event = wait_for(&mut events, |event| event.operation == Access::Ptrace);
    let process = event.process.unwrap();
    assert_eq!((process.tgid, process.comm.as_str()), (pid, "sleep"));
    assert_eq!(aegis.stats().unwrap().rules[0].denied, 3);
    nothing(&mut aegis);
    assert_eq!(errno(traceme), 0);
    assert_eq!(errno(&attach), 0);
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
}

pub(crate) fn loading_a_module_is_denied_by_file_and_by_memory(backend: Backend) {
    // Neither is a module: where nothing is denied, the kernel says so. It asks for 64 bytes at least.
    let by_file = "open(my $f, '<', '/proc/self/exe') or exit 98; my $e = ''; end(syscall(313, fileno($f), $e, 4) == 0)";
    let by_memory =
        "my ($m, $e) = ('no module' x 99, ''); end(syscall(175, $m, length $m, $e) == 0)";
    assert_ne!(errno(by_file), EPERM);
    assert_eq!(errno(by_memory), NO_SUCH_FORMAT);
    let mut aegis = attached(backend, Mode::Enforce, "[deny_module_load]\n");
    assert_eq!(errno(by_file), EPERM);
    assert_eq!(errno(by_memory), EPERM);
    assert_eq!(aegis.stats().unwrap().rules[0].denied, 2);
    nothing(&mut aegis);
    assert_eq!(errno(by_memory), NO_SUCH_FORMAT);
}

pub(crate) fn bpf_is_denied_to_others_and_not_to_us(backend: Backend) {
    // BPF_MAP_CREATE of an array.
    let create =
        "my $attr = pack('L4 x48', 2, 4, 4, 1); end(syscall(321, 0, $attr, length $attr) >= 0)";
    assert_eq!(errno(create), 0);
    let mut aegis = attached(backend, Mode::Enforce, "[deny_bpf]\n");
    assert_eq!(errno(create), EPERM);
    // Ours go on: another policy, the counters.
    let both: Policy = "version=7\n[deny_bpf]\n[deny_ptrace]\n".parse().unwrap();
    aegis.apply(&both).unwrap();
    assert_eq!(errno(create), EPERM);
    // Another run of the enforcer's executable, as the command is to the service.
    let other_run = Command::new(std::env::current_exe().unwrap())
        .env(LOADS, "")
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(other_run.success());
    let stats = aegis.stats().unwrap();
    assert_eq!((stats.rules[0].denied, stats.rules[0].exempted), (2, 0));
    aegis.set_mode(Mode::Audit).unwrap();
    assert_eq!(errno(create), 0);
    nothing(&mut aegis);
    assert_eq!(errno(create), 0);
}

const LOADS: &str = "AEGIS_TEST_LOADS";

/// If this process is the one that the test above starts: makes a map.
pub(crate) fn be_another_run() -> bool {
    if std::env::var_os(LOADS).is_none() {
        return false;
    }
    Enforcer::builder()
        .backend(Backend::Tracepoint)
        .load()
        .unwrap_or_else(|e| panic!("{}", e.chain()));
    true
}
