//! The sections of the language: their names, the version that brought them, and whether this build enforces them.

use super::rule::Rule;

/// A section of the language. Parsed into [`Entries`](Self::Entries) where this build enforces it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) name: &'static str,
    /// The format version that knows it first.
    pub(super) since: u8,
    pub(super) kind: Kind,
}

/// What this build makes of a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    DenyPath,
    DenyInode,
    AllowCgroup,
    /// Known, not enforced; its lines are entries.
    Refused,
    /// Known, not enforced; as `Refused`, and an entry may begin with a bracketed IPv6 address.
    RefusedAddress,
    /// Known, not enforced; set by its header alone.
    RefusedFlag,
}

impl Kind {
    pub(super) fn is_refused(self) -> bool {
        matches!(
            self,
            Self::Refused | Self::RefusedAddress | Self::RefusedFlag
        )
    }
}

/// The greatest format version.
pub(super) const NEWEST: u8 = 7;

/// Every section, in the order of canonical text.
pub(super) const SECTIONS: &[Section] = &[
    section("deny_path", 1, Kind::DenyPath),
    section("deny_inode", 1, Kind::DenyInode),
    section("allow_cgroup", 1, Kind::AllowCgroup),
    section("deny_ip", 1, Kind::Refused),
    section("deny_cidr", 1, Kind::Refused),
    section("deny_port", 1, Kind::Refused),
    section("deny_ip_port", 1, Kind::RefusedAddress),
    section("deny_ptrace", 1, Kind::RefusedFlag),
    section("deny_module_load", 1, Kind::RefusedFlag),
    section("deny_bpf", 1, Kind::RefusedFlag),
    section("deny_comm", 1, Kind::Refused),
    section("deny_binary_hash", 3, Kind::Refused),
    section("allow_binary_hash", 3, Kind::Refused),
    section("scan_paths", 3, Kind::Refused),
    section("protect_path", 4, Kind::Refused),
    section("protect_connect", 4, Kind::RefusedFlag),
    section("protect_runtime_deps", 4, Kind::RefusedFlag),
    section("require_ima_appraisal", 5, Kind::RefusedFlag),
    section("trusted_exec_hash", 5, Kind::Refused),
    section("ima_fail_closed", 5, Kind::RefusedFlag),
    section("cgroup_deny_inode", 6, Kind::Refused),
    section("cgroup_deny_ip", 6, Kind::Refused),
    section("cgroup_deny_port", 6, Kind::Refused),
    section("deny_dir", 7, Kind::Refused),
    section("allow_exec", 7, Kind::Refused),
    section("include", 7, Kind::Refused),
];

const fn section(name: &'static str, since: u8, kind: Kind) -> Section {
    Section { name, since, kind }
}

/// The section of that name; names are case-sensitive.
pub(super) fn find(name: &str) -> Option<Section> {
    SECTIONS
        .iter()
        .find(|section| section.name == name)
        .copied()
}

/// The place of the rule's section in canonical text.
pub(super) fn rank(rule: &Rule) -> Option<usize> {
    let name = rule.section();
    SECTIONS.iter().position(|section| section.name == name)
}

/// The section that was probably meant by `name`, if one is near enough.
pub(super) fn nearest(name: &str) -> Option<&'static str> {
    let wanted = name.to_lowercase().replace(['-', ' '], "_");
    SECTIONS
        .iter()
        .map(|section| {
            (
                strsim::damerau_levenshtein(&wanted, section.name),
                section.name,
            )
        })
        .min()
        .filter(|(distance, name)| *distance <= name.len() / 3)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("deny_paths", Some("deny_path"))]
    #[case("Deny-Path", Some("deny_path"))]
    #[case("deny_pth", Some("deny_path"))]
    #[case("allow_cgroups", Some("allow_cgroup"))]
    #[case("deny_inode ", Some("deny_inode"))]
    #[case("permit", None)]
    #[case("", None)]
    fn suggests_only_what_is_near(#[case] name: &str, #[case] expected: Option<&str>) {
        assert_eq!(nearest(name), expected);
    }
}
