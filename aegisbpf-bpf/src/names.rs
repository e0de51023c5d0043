//! Names of maps and programs in the objects.

/// The byte table that the no-match path tests.
pub const FILTER: &str = ".bss.filter";
/// Whether a mount stands below a directory with a rule, as user space found.
pub const MOUNTS_FOUND: &str = ".bss.mounts_found";
/// The bits that are asked where the byte table says "perhaps".
pub const SIEVE: &str = "sieve";
/// Generation, mode, sampling.
pub const CONTROL: &str = "control";
/// Who called an emergency, and why.
pub const EMERGENCY: &str = "emergency";
/// Until when the daemon must be heard of.
pub const DEAD_MAN: &str = "dead_man";
/// The policy, two generations.
pub const RULES: &str = "rules";
/// Watched names that are long, two generations.
pub const NAMES: &str = "names";
/// The short ones, two generations.
pub const SHORT_NAMES: &str = "short_names";
/// Inodes that came to bear a watched name.
pub const BOUND: &str = "bound";
/// Changes of the filter that are asked for.
pub const FILTER_PATCHES: &str = "filter_patches";
/// A file's identity that was asked for.
pub const IDENTITY: &str = "identity";
/// Allowed cgroups, two generations.
pub const EXEMPT: &str = "exempt";
/// Files that are denied to single cgroups, two generations.
pub const CGROUP_FILES: &str = "cgroup_files";
/// Files that single executables may access, two generations.
pub const EXECUTABLE_FILES: &str = "executable_files";
/// The byte table that the no-match path of the network tests.
pub const NET_FILTER: &str = ".bss.net_filter";
/// Addresses, endpoints and ports, two generations.
pub const NET_RULES: &str = "net_rules";
/// Networks, two generations.
pub const NET_PREFIXES: &str = "net_prefixes";
/// Names of executables, two generations.
pub const COMMS: &str = "comms";
/// Operations that are denied as such, two generations.
pub const TOGGLES: &str = "toggles";
/// What a rule counts beside [`BY_CGROUP`].
pub const TOTALS: &str = "totals";
/// Counters of each (rule, cgroup).
pub const BY_CGROUP: &str = "by_cgroup";
/// Reports and faults.
pub const HEALTH: &str = "health";
/// The ring buffer.
pub const EVENTS: &str = "events";

/// Returns our process id as the programs see it; run once, never attached.
pub const WHOAMI: &str = "whoami";
/// Changes the filter; run by TEST_RUN, never attached.
pub const PATCH_FILTER: &str = "patch_filter";
/// Tells a file's identity; run by TEST_RUN, never attached.
pub const IDENTIFY_FILE: &str = "identify_file";
/// The programs that run only under TEST_RUN, when the enforcer asks something of them.
pub const SERVANTS: [&str; 3] = [WHOAMI, PATCH_FILTER, IDENTIFY_FILE];
/// Does nothing; attached only to price the others.
pub const EMPTY: &str = "empty";
/// The same on `socket_connect`.
pub const EMPTY_CONNECT: &str = "empty_connect";
/// So many look-ups, in the dose object.
pub const DOSE: &str = "dose";
/// Nothing at all, in the dose object.
pub const NOTHING: &str = "nothing";
/// How many look-ups, fixed at load.
pub const LOOKUPS: &str = "lookups";
/// What the dose counts for the treatment check.
pub const TOUCHED: &str = ".bss.touched";
/// Runs the decision under TEST_RUN, in the self-test object.
pub const TEST_DECIDE: &str = "test_decide";
