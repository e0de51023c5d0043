//! What is in the guest whatever it runs: busybox, modules, a few files below `/etc`, and `/init`.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::elf;
use super::error::{self, Error, Result};
use super::initramfs::Initramfs;
use super::modules::Module;

/// Needed for the console, the disks, and what the tests mount.
pub(crate) const MODULES: [&str; 5] = [
    "virtio_pci",
    "virtio_blk",
    "virtio_console",
    "overlay",
    "loop",
];

/// Directories that get a tmpfs of their own if nothing is in them.
const SCRATCH: [&str; 2] = ["/tmp", "/run"];

/// First word of the result disk once the commands are about to start.
pub(crate) const STARTED: &str = "started";
/// First word of the result disk when they have ended; the exit code follows.
pub(crate) const ENDED: &str = "ended";

/// The files that policies and tests expect on any machine. Nobody can log in with them.
const ETC: [(&str, u32, &str); 7] = [
    (
        "/etc/passwd",
        0o644,
        "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\ntester:x:1000:1000:tester:/tmp:/bin/sh\n",
    ),
    (
        "/etc/group",
        0o644,
        "root:x:0:\nshadow:x:42:\nnogroup:x:65534:\ntester:x:1000:\n",
    ),
    (
        "/etc/shadow",
        0o640,
        "root:*:19000:0:99999:7:::\ntester:*:19000:0:99999:7:::\n",
    ),
    ("/etc/gshadow", 0o640, "root:*::\ntester:!::\n"),
    ("/etc/sudoers", 0o440, "root ALL=(ALL:ALL) ALL\n"),
    ("/etc/hosts", 0o644, "127.0.0.1 localhost\n::1 localhost\n"),
    ("/etc/hostname", 0o644, "guest\n"),
];

/// What `/init` runs.
#[derive(Debug, Default)]
pub(crate) struct Work {
    /// One after another; the first exit code that is not 0 is the result.
    pub(crate) commands: Vec<Vec<String>>,
    pub(crate) env: Vec<(String, String)>,
    /// Files and directories of the tree that the commands need.
    pub(crate) brought: Vec<PathBuf>,
    /// The commands' root is the ext4 disk, and what was brought is copied there.
    pub(crate) in_image: bool,
    /// The working directory.
    pub(crate) directory: PathBuf,
}

/// busybox with all its names, and the files below `/etc`.
pub(crate) fn base() -> Result<Initramfs> {
    let busybox = error::tool("busybox", "busybox-static")?;
    if elf::interpreter(&busybox)?.is_some() {
        return Err(Error::BusyboxNotStatic(busybox));
    }
    let mut tree = Initramfs::new();
    tree.host(&busybox, Path::new("/bin/busybox"))?;
    for directory in [
        "/dev", "/proc", "/sys", "/run", "/tmp", "/root", "/var/log", "/ext4", "/mnt",
    ] {
        tree.directory(directory);
    }
    for (path, mode, content) in ETC {
        tree.bytes(path, mode, content);
    }
    Ok(tree)
}

/// Fills in what depends on the kernel and the work. Comes last: busybox names only what nobody else brought.
pub(crate) fn finish(tree: &mut Initramfs, modules: Vec<Module>, work: &Work) -> Result<()> {
    let busybox = error::tool("busybox", "busybox-static")?;
    let applets = error::output(Command::new(busybox).arg("--list"))?;
    for applet in String::from_utf8_lossy(&applets.stdout).lines() {
        let path = Path::new("/bin").join(applet);
        if !tree.contains(&path) && !tree.contains(Path::new("/sbin").join(applet)) {
            tree.symlink(path, "/bin/busybox");
        }
    }
    tree.directory(&work.directory);
    let names = modules.iter().map(|module| &*module.name);
    // A mount would hide what was brought. The root is a tmpfs itself, so nothing is lost without one.
    let scratch = SCRATCH.into_iter().filter(|path| tree.is_empty(path));
    let init = init(scratch, names, work);
    tree.bytes("/init", 0o755, init);
    for module in modules {
        tree.bytes(format!("/modules/{}.ko", module.name), 0o644, module.bytes);
    }
    Ok(())
}

/// The script that is process 1. `/bin/busybox sh` by name, since /bin/sh may be the host's.
///
/// Its own words go to the kernel's console, a serial port that the host logs; the commands have hvc0 for themselves.
fn init<'a>(
    scratch: impl Iterator<Item = &'a str>,
    modules: impl Iterator<Item = &'a str>,
    work: &Work,
) -> String {
    let mut script = String::from(MOUNTS);
    for path in scratch {
        let _ = writeln!(script, "mount -t tmpfs tmpfs {path}");
    }
    script.push_str(
        "chmod 1777 /tmp
",
    );
    for module in modules {
        let _ = writeln!(
            script,
            "insmod /modules/{module}.ko || echo 'vm: insmod {module} failed'"
        );
    }
    script.push_str(DISKS);
    for (name, value) in &work.env {
        let _ = writeln!(script, "export {name}={}", quoted(value));
    }
    let directory = quoted(&work.directory.to_string_lossy());
    if work.in_image {
        script.push_str(IMAGE);
        for path in &work.brought {
            let _ = writeln!(script, "bring {}", quoted(&path.to_string_lossy()));
        }
        let _ = writeln!(script, "mkdir -p /ext4{directory}");
    } else {
        let _ = writeln!(script, "cd {directory}");
    }
    let _ = writeln!(script, "record {STARTED}\nresult=0");
    for command in &work.commands {
        let mut words: Vec<_> = command.iter().map(|word| quoted(word)).collect();
        if work.in_image {
            let enter = format!("cd {directory} && exec \"$@\"");
            words.splice(
                0..0,
                [
                    "chroot /ext4 /bin/sh -c".to_owned(),
                    quoted(&enter),
                    "sh".to_owned(),
                ],
            );
        }
        // In a session of its own, and not as process 1, which has privileges and duties no test expects.
        let _ = writeln!(
            script,
            "setsid {} </dev/null >/dev/hvc0 2>&1\ncode=$?; [ $result = 0 ] && result=$code",
            words.join(" ")
        );
    }
    let _ = writeln!(
        script,
        "record \"{ENDED} $result\"\numount /ext4 2>/dev/null\npoweroff -f"
    );
    script
}

const MOUNTS: &str = "\
#!/bin/busybox sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb AEGIS_IN_VM=1 RUST_BACKTRACE=1
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t securityfs securityfs /sys/kernel/security
mount -t tracefs tracefs /sys/kernel/tracing
mount -t debugfs debugfs /sys/kernel/debug
mount -t bpf bpf /sys/fs/bpf
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs tmpfs /dev/shm
ln -s /proc/self/fd /dev/fd
ln -s /proc/self/fd/0 /dev/stdin
ln -s /proc/self/fd/1 /dev/stdout
ln -s /proc/self/fd/2 /dev/stderr
for controller in cpu memory pids io; do
    echo +$controller >/sys/fs/cgroup/cgroup.subtree_control
done 2>/dev/null
hostname guest
ip link set lo up
";

/// The order of the disks is that of QEMU's command line. hvc0 is a terminal; raw mode keeps `\n` what it is.
const DISKS: &str = "\
for wait in 1 2 3 4 5 6 7 8 9 10; do
    [ -b /dev/vdb ] && [ -c /dev/hvc0 ] && break
    sleep 0.1
done
stty -F /dev/hvc0 raw -echo
mount -t ext4 /dev/vdb /ext4
chmod 1777 /ext4
record() { echo \"$1\" | dd of=/dev/vda conv=fsync,notrunc 2>/dev/null; }
";

/// Makes the disk a root: what the kernel shows, a place for what runs, and the made-up users.
const IMAGE: &str = "\
for name in dev proc sys; do mount --rbind /$name /ext4/$name; done
mount -t tmpfs tmpfs /ext4/run
chmod 1777 /ext4/tmp
mkdir -p /ext4/etc
for name in passwd group shadow gshadow sudoers hosts hostname; do cp -a /etc/$name /ext4/etc/$name; done
bring() { mkdir -p \"/ext4$(dirname \"$1\")\" && cp -a \"$1\" \"/ext4$1\"; }
";

fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_keeps_its_words_whatever_they_hold() {
        let work = Work {
            commands: vec![vec![
                "/bin/sh".into(),
                "-c".into(),
                "echo 'a b' $HOME".into(),
            ]],
            env: vec![("KEY".into(), "it's".into())],
            directory: "/".into(),
            ..Work::default()
        };
        let script = init(["/run"].into_iter(), ["overlay"].into_iter(), &work);
        assert!(script.contains(r"setsid '/bin/sh' '-c' 'echo '\''a b'\'' $HOME' </dev/null"));
        assert!(script.contains(r"export KEY='it'\''s'"));
        assert!(script.contains("insmod /modules/overlay.ko"));
        assert!(script.contains("mount -t tmpfs tmpfs /run"));
        assert!(!script.contains("mount -t tmpfs tmpfs /tmp"));
    }

    #[test]
    fn the_result_is_recorded_after_the_commands_and_the_start_before() {
        let work = Work {
            commands: vec![vec!["first".into()], vec!["second".into()]],
            ..Work::default()
        };
        let script = init(std::iter::empty(), std::iter::empty(), &work);
        let at = |text: &str| script.find(text).unwrap();
        assert!(at("record started") < at("'first'"));
        assert!(at("'first'") < at("'second'"));
        assert!(at("'second'") < at("record \"ended"));
    }
}
