//! Files without which a system does not work: package managers, logins, every program.

use std::path::Path;

use super::super::object::Object;
use super::super::problem::Problems;
use super::super::rule::{Effect, Rule, Subject};
use super::super::section::Kind;
use super::warn;

/// Who needs a file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    /// Every program that is started.
    Everyone,
    /// Whoever installs or removes software.
    Packages,
    /// Whoever lets people in, or changes their passwords.
    Logins,
}

use Need::{Everyone, Logins, Packages};

/// Files, and directories with all below them. Both names of directories that are links on a merged /usr.
const NEEDED: &[(&str, Need)] = &[
    ("/bin", Everyone),
    ("/dev/null", Everyone),
    ("/dev/urandom", Everyone),
    ("/etc/ld.so.cache", Everyone),
    ("/etc/ld.so.preload", Everyone),
    ("/etc/nsswitch.conf", Everyone),
    ("/etc/passwd", Everyone),
    ("/etc/group", Everyone),
    ("/etc/resolv.conf", Everyone),
    ("/etc/hosts", Everyone),
    ("/lib", Everyone),
    ("/lib64", Everyone),
    ("/proc", Everyone),
    ("/sbin", Everyone),
    ("/sys", Everyone),
    ("/usr/bin", Everyone),
    ("/usr/lib", Everyone),
    ("/usr/lib64", Everyone),
    ("/usr/sbin", Everyone),
    ("/etc/apt", Packages),
    ("/etc/dnf", Packages),
    ("/etc/yum.repos.d", Packages),
    ("/usr/lib/sysimage/rpm", Packages),
    ("/usr/share", Packages),
    ("/var/cache/apt", Packages),
    ("/var/cache/dnf", Packages),
    ("/var/lib/apt", Packages),
    ("/var/lib/dpkg", Packages),
    ("/var/lib/pacman", Packages),
    ("/var/lib/rpm", Packages),
    ("/etc/gshadow", Logins),
    ("/etc/login.defs", Logins),
    ("/etc/pam.d", Logins),
    ("/etc/security", Logins),
    ("/etc/shadow", Logins),
    ("/run/utmp", Logins),
    ("/var/log/lastlog", Logins),
    ("/var/log/wtmp", Logins),
];

/// Below these, only what is named itself breaks something: `/usr/bin` holds thousands of programs, and denying one of
/// them is what policies are for.
const WHOLE_ONLY: &[&str] = &[
    "/bin",
    "/lib",
    "/lib64",
    "/proc",
    "/sbin",
    "/sys",
    "/usr/bin",
    "/usr/lib",
    "/usr/lib64",
    "/usr/sbin",
    "/usr/share",
    "/etc/security",
    "/etc/apt",
    "/etc/dnf",
    "/etc/yum.repos.d",
];

/// Programs that everything runs.
const PROGRAMS: &[&str] = &[
    "sh", "bash", "dash", "systemd", "init", "login", "agetty", "sshd", "sudo", "dpkg", "apt",
    "rpm",
];

pub(super) fn lint(rules: &[Rule], problems: &mut Problems) {
    // Whoever names exceptions has thought of those who need the file, or will see them in the stats.
    let excepted = rules.iter().any(|rule| {
        rule.effect == Effect::Allow
            && matches!(rule.subject, Subject::Cgroup(_) | Subject::Executable(_))
    });
    for rule in rules
        .iter()
        .filter(|rule| rule.effect == Effect::Deny && rule.subject == Subject::Any)
    {
        let need = match &rule.object {
            Object::Path(path) => needed(path),
            Object::Dir(path) => needed_below(path),
            Object::Name(name) if PROGRAMS.contains(&name.as_str()) => {
                Some((Path::new(name), Everyone))
            }
            _ => None,
        };
        let Some((what, need)) = need else {
            continue;
        };
        let (who, remedy) = match need {
            Everyone => (
                "nearly every program needs it",
                "remove the rule, or try it in audit mode first",
            ),
            Packages if excepted => continue,
            Packages => (
                "package managers need it",
                "name the services that install software under [allow_cgroup], as `/system.slice/apt-daily-upgrade.service`",
            ),
            Logins if excepted => continue,
            Logins => (
                "nobody can log in or change a password without it",
                "name the services that let people in under [allow_cgroup], as `/system.slice/ssh.service`",
            ),
        };
        let named = if rule.kind() == Kind::DenyDir && rule.object != Object::Dir(what.to_owned()) {
            format!("the directory holds {}: {who}", what.display())
        } else {
            format!("{} is denied to all: {who}", what.display())
        };
        warn(problems, rule, named, remedy);
    }
}

/// Whether a file is needed, itself or as one of a needed directory.
fn needed(path: &Path) -> Option<(&Path, Need)> {
    // Rules' paths are in one spelling, so bytes tell what parts would, for every rule of a large policy.
    let bytes = path.as_os_str().as_encoded_bytes();
    let held = |needed: &str| {
        bytes.strip_prefix(needed.as_bytes()).is_some_and(|rest| {
            rest.is_empty() || rest.starts_with(b"/") && !WHOLE_ONLY.contains(&needed)
        })
    };
    let program = |dir: &str| path.parent() == Some(Path::new(dir));
    if ["/bin", "/usr/bin", "/sbin", "/usr/sbin"]
        .into_iter()
        .any(program)
        && path
            .file_name()
            .is_some_and(|name| PROGRAMS.iter().any(|program| name == *program))
    {
        return Some((path, Everyone));
    }
    NEEDED
        .iter()
        .find(|(needed, _)| held(needed))
        .map(|(_, need)| (path, *need))
}

/// The first needed file below a directory, or the directory if it is in a needed one.
fn needed_below(dir: &Path) -> Option<(&Path, Need)> {
    NEEDED
        .iter()
        .find(|(needed, _)| Path::new(needed).starts_with(dir))
        .map(|(needed, need)| (Path::new(*needed), *need))
        .or_else(|| needed(dir))
}
