//! The sections of the language: their names, and the version that brought them.

/// A section of the language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) name: &'static str,
    /// The format version that knows it first.
    pub(super) since: u8,
    pub(super) kind: Kind,
}

/// The sections, in the order of canonical text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    DenyPath,
    DenyInode,
    AllowCgroup,
    DenyIp,
    DenyCidr,
    DenyPort,
    DenyIpPort,
    DenyPtrace,
    DenyModuleLoad,
    DenyBpf,
    DenyComm,
    DenyBinaryHash,
    AllowBinaryHash,
    ScanPaths,
    ProtectPath,
    ProtectConnect,
    ProtectRuntimeDeps,
    RequireImaAppraisal,
    TrustedExecHash,
    ImaFailClosed,
    CgroupDenyInode,
    CgroupDenyIp,
    CgroupDenyPort,
    DenyDir,
    AllowExec,
    Include,
}

impl Kind {
    /// Whether the section takes no entries: its header alone sets it.
    pub(super) fn is_flag(self) -> bool {
        matches!(
            self,
            Self::DenyPtrace
                | Self::DenyModuleLoad
                | Self::DenyBpf
                | Self::ProtectConnect
                | Self::ProtectRuntimeDeps
                | Self::RequireImaAppraisal
                | Self::ImaFailClosed
        )
    }

    pub(super) fn name(self) -> &'static str {
        SECTIONS[self as usize].name
    }
}

/// The greatest format version.
pub(super) const NEWEST: u8 = 7;

/// Every section, in the order of [`Kind`].
pub(super) const SECTIONS: &[Section] = &[
    section("deny_path", 1, Kind::DenyPath),
    section("deny_inode", 1, Kind::DenyInode),
    section("allow_cgroup", 1, Kind::AllowCgroup),
    section("deny_ip", 1, Kind::DenyIp),
    section("deny_cidr", 1, Kind::DenyCidr),
    section("deny_port", 1, Kind::DenyPort),
    section("deny_ip_port", 1, Kind::DenyIpPort),
    section("deny_ptrace", 1, Kind::DenyPtrace),
    section("deny_module_load", 1, Kind::DenyModuleLoad),
    section("deny_bpf", 1, Kind::DenyBpf),
    section("deny_comm", 1, Kind::DenyComm),
    section("deny_binary_hash", 3, Kind::DenyBinaryHash),
    section("allow_binary_hash", 3, Kind::AllowBinaryHash),
    section("scan_paths", 3, Kind::ScanPaths),
    section("protect_path", 4, Kind::ProtectPath),
    section("protect_connect", 4, Kind::ProtectConnect),
    section("protect_runtime_deps", 4, Kind::ProtectRuntimeDeps),
    section("require_ima_appraisal", 5, Kind::RequireImaAppraisal),
    section("trusted_exec_hash", 5, Kind::TrustedExecHash),
    section("ima_fail_closed", 5, Kind::ImaFailClosed),
    section("cgroup_deny_inode", 6, Kind::CgroupDenyInode),
    section("cgroup_deny_ip", 6, Kind::CgroupDenyIp),
    section("cgroup_deny_port", 6, Kind::CgroupDenyPort),
    section("deny_dir", 7, Kind::DenyDir),
    section("allow_exec", 7, Kind::AllowExec),
    section("include", 7, Kind::Include),
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

/// The section that was probably meant by `name`, if one is near enough.
pub(super) fn nearest(name: &str) -> Option<&'static str> {
    // No section has a longer name, and the distance of long texts takes long to find.
    if name.len() > 40 {
        return None;
    }
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

    #[test]
    fn the_table_is_in_the_order_of_the_kinds() {
        for (index, section) in SECTIONS.iter().enumerate() {
            assert_eq!(section.kind as usize, index);
            assert_eq!(section.kind.name(), section.name);
        }
    }
}
