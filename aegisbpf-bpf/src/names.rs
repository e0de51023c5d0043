//! Names of maps and programs in the objects.

/// The byte table that the no-match path tests.
pub const FILTER: &str = ".bss.filter";
/// Generation, mode, sampling.
pub const CONTROL: &str = "control";
/// Who called an emergency, and why.
pub const EMERGENCY: &str = "emergency";
/// Until when the daemon must be heard of.
pub const DEAD_MAN: &str = "dead_man";
/// The policy, two generations.
pub const RULES: &str = "rules";
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
/// Counters of each rule.
pub const TOTALS: &str = "totals";
/// Counters of each (rule, cgroup).
pub const BY_CGROUP: &str = "by_cgroup";
/// Reports and faults.
pub const HEALTH: &str = "health";
/// The ring buffer.
pub const EVENTS: &str = "events";

/// Returns our process id as the programs see it; run once, never attached.
pub const WHOAMI: &str = "whoami";
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
