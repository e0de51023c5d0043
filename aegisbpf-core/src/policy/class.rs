//! What enforcing a rule takes, and what becomes of a policy where that is missing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use super::Policy;
use super::problem::{Problems, Span};
use super::rule::Rule;
use super::section::Kind;
use super::text::chars;

/// The kinds of enforcement. Each is either there on a host or not; see [`Policy::refusals`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Class {
    /// Single files: `[deny_path]`, `[deny_inode]`.
    File,
    /// All below a directory: `[deny_dir]`.
    Directory,
    /// Single files for one cgroup: `[cgroup_deny_inode]`.
    CgroupFile,
    /// Exceptions for one executable: `[allow_exec]`.
    Executable,
    /// Exceptions for a cgroup: `[allow_cgroup]`.
    AllowCgroup,
    /// Executing files of a name: `[deny_comm]`.
    Comm,
    /// Peers and ports: `[deny_ip]`, `[deny_cidr]`, `[deny_port]`, `[deny_ip_port]`.
    Network,
    /// Peers and ports for one cgroup: `[cgroup_deny_ip]`, `[cgroup_deny_port]`.
    CgroupNetwork,
    /// `[deny_ptrace]`.
    Ptrace,
    /// `[deny_module_load]`.
    ModuleLoad,
    /// `[deny_bpf]`.
    Bpf,
    /// Executing by content: `[deny_binary_hash]`, `[allow_binary_hash]`, `[scan_paths]`.
    Hash,
    /// Verified executables: `[protect_path]`, `[protect_connect]`, `[protect_runtime_deps]`.
    Verified,
    /// Integrity measurement: `[trusted_exec_hash]`, `[require_ima_appraisal]`, `[ima_fail_closed]`.
    Ima,
}

/// Why a class is not enforced here, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Unsupported {
    /// What is missing.
    pub reason: String,
    /// How to get it, or how to do without.
    pub remedy: String,
}

impl Unsupported {
    /// What is missing, and how to get it.
    #[must_use]
    pub fn new(reason: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            remedy: remedy.into(),
        }
    }
}

/// `reason: remedy`
impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.remedy)
    }
}

impl Rule {
    /// What enforcing the rule takes.
    #[must_use]
    pub fn class(&self) -> Class {
        match self.kind() {
            Kind::DenyPath | Kind::DenyInode => Class::File,
            Kind::DenyDir => Class::Directory,
            Kind::CgroupDenyInode => Class::CgroupFile,
            Kind::AllowExec => Class::Executable,
            Kind::AllowCgroup | Kind::Include => Class::AllowCgroup,
            Kind::DenyComm => Class::Comm,
            Kind::DenyIp | Kind::DenyCidr | Kind::DenyPort | Kind::DenyIpPort => Class::Network,
            Kind::CgroupDenyIp | Kind::CgroupDenyPort => Class::CgroupNetwork,
            Kind::DenyPtrace => Class::Ptrace,
            Kind::DenyModuleLoad => Class::ModuleLoad,
            Kind::DenyBpf => Class::Bpf,
            Kind::DenyBinaryHash | Kind::AllowBinaryHash | Kind::ScanPaths => Class::Hash,
            Kind::ProtectPath | Kind::ProtectConnect | Kind::ProtectRuntimeDeps => Class::Verified,
            Kind::RequireImaAppraisal | Kind::TrustedExecHash | Kind::ImaFailClosed => Class::Ima,
        }
    }
}

impl Policy {
    /// One problem for each section of a class that is not `supported`: the reason and the remedy, at its first rule.
    pub fn refusals(&self, supported: impl Fn(Class) -> Result<(), Unsupported>) -> Problems {
        self.unsupported(supported, Problems::error, "")
    }

    /// As [`refusals`](Self::refusals), for who only wants to know.
    pub fn notes(&self, supported: impl Fn(Class) -> Result<(), Unsupported>) -> Problems {
        self.unsupported(supported, Problems::note, "")
    }

    /// The policy without the rules and settings of classes that are not `supported`, and a warning for each section
    /// that it lost.
    #[must_use]
    pub fn without_unsupported(
        &self,
        supported: impl Fn(Class) -> Result<(), Unsupported>,
    ) -> (Self, Problems) {
        let dropped: BTreeSet<Class> = self
            .classes()
            .into_iter()
            .filter(|class| supported(*class).is_err())
            .collect();
        let problems = self.unsupported(supported, Problems::warning, "dropped: ");
        let mut policy = self.clone();
        policy.rules.retain(|rule| !dropped.contains(&rule.class()));
        policy.settings = policy.settings.retain(|class| !dropped.contains(&class));
        (policy, problems)
    }

    /// The classes that enforcing the policy takes.
    #[must_use]
    pub fn classes(&self) -> BTreeSet<Class> {
        let rules = self.rules.iter().map(Rule::class);
        rules
            .chain(self.settings.iter().map(|(_, class, _)| class))
            .collect()
    }

    fn unsupported(
        &self,
        supported: impl Fn(Class) -> Result<(), Unsupported>,
        report: fn(&mut Problems, Span, String, String),
        prefix: &str,
    ) -> Problems {
        let refusals: BTreeMap<Class, Unsupported> = self
            .classes()
            .into_iter()
            .filter_map(|class| Some((class, supported(class).err()?)))
            .collect();
        let mut sections: BTreeMap<&str, (usize, Span, &Unsupported)> = BTreeMap::new();
        let mut count = |section: &'static str, class, span: &dyn Fn() -> Span| {
            if let Some(refusal) = refusals.get(&class) {
                sections
                    .entry(section)
                    .or_insert_with(|| (0, span(), refusal))
                    .0 += 1;
            }
        };
        for rule in &self.rules {
            count(rule.section(), rule.class(), &|| rule.span());
        }
        for (section, class, origin) in self.settings.iter() {
            let header = || Span {
                origin: origin.clone(),
                // A path among the settings is pointed at by its first character.
                length: if section == "scan_paths" {
                    1
                } else {
                    chars(section) + 2
                },
            };
            count(section, class, &header);
        }
        let mut problems = Problems::default();
        for (section, (count, span, refusal)) in sections {
            let rules = match count {
                1 => String::new(),
                count => format!(" ({count} rules)"),
            };
            let message = format!(
                "{prefix}[{section}] is not enforced here{rules}: {}",
                refusal.reason
            );
            report(&mut problems, span, message, refusal.remedy.clone());
        }
        problems.sorted()
    }
}
