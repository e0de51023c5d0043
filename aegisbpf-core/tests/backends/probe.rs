//! System calls by another process, since our own is never denied: small perl programs, which need no module and so run
//! wherever perl does, in the virtual machine too. Each ends with the error number, 0 for none.

use std::{path::Path, process::Command};

/// Not permitted: what a refusal gives.
pub(crate) const EPERM: i32 = 1;

/// Words that the programs share. Addresses as the kernel takes them: the family may be another (0 is AF_UNSPEC).
const WORDS: &str = r#"
sub v4 { my ($a, $p, $f) = @_; pack("S n a4 x8", $f // 2, $p, pack("C4", split /\./, $a)) }
sub v6 { my ($a, $p, $f) = @_; pack("S n N a16 N", $f // 10, $p, 0, pack("H32", $a), 0) }
sub mapped { my ($a, $p) = @_; v6("00000000000000000000ffff" . unpack("H8", pack("C4", split /\./, $a)), $p) }
sub sock { my ($family, $type, $proto) = @_; socket(my $s, $family, $type, $proto // 0) or exit 99; $s }
sub tcp { sock(2, 1) } sub tcp6 { sock(10, 1) } sub udp { sock(2, 2) } sub udp6 { sock(10, 2) }
sub end { exit($_[0] ? 0 : $! + 0) }
my $loop6 = "0" x 31 . "1";
"#;

/// Why the probes cannot run here, if they cannot.
pub(crate) fn missing() -> Option<String> {
    match Command::new("perl").arg("-v").output() {
        Ok(_) => None,
        Err(e) => Some(format!(
            "perl, which makes the system calls: {e}; apt-get install perl-base"
        )),
    }
}

/// A program that runs `script`, with its arguments to come.
pub(crate) fn command(script: &str) -> Command {
    let mut perl = Command::new("perl");
    perl.arg("-e").arg(format!("{WORDS}\n{script}"));
    perl
}

/// A script that does `what` until the file `stop` exists, and then writes how often it did, and how often with success.
pub(crate) fn until(stop: &Path, what: &str) -> String {
    format!(
        "my ($i, $ok) = (0, 0); until (-e '{}') {{ $i++; $ok++ if {what} }} print \"$i $ok\\n\";",
        stop.display()
    )
}

/// Runs `script`, and gives the error number it ends with.
#[track_caller]
pub(crate) fn errno(script: &str) -> i32 {
    let output = command(script).output().unwrap();
    output
        .status
        .code()
        .unwrap_or_else(|| panic!("{script}: {output:?}"))
}

/// The same from inside the cgroup directory `cgroup`.
#[track_caller]
pub(crate) fn errno_in(cgroup: &Path, script: &str) -> i32 {
    let output = in_cgroup(cgroup, script).output().unwrap();
    output
        .status
        .code()
        .unwrap_or_else(|| panic!("{script}: {output:?}"))
}

/// A program that enters the cgroup directory `cgroup` and then runs `script`.
pub(crate) fn in_cgroup(cgroup: &Path, script: &str) -> Command {
    let enter = "echo $$ > \"$1/cgroup.procs\" && shift && exec \"$@\"";
    let mut shell = Command::new("sh");
    shell.args(["-c", enter, "sh"]).arg(cgroup);
    shell.args(["perl", "-e"]).arg(format!("{WORDS}\n{script}"));
    shell
}
