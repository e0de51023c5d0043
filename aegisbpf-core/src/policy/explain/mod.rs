//! Which rule decides about an access, and why: the order of docs/POLICY.md, said in words. Nothing of the host is
//! read; what it makes of the rules comes from whoever asks.

mod access;
mod matching;

use serde::Serialize;

pub use self::access::{Access, CgroupName, Facts, Written};
use self::matching::Matched;
use super::object::Object;
use super::rule::{Effect, Operation, RuleId, Subject};
use super::section::Kind;
use super::{Policy, Rule};

/// What becomes of an access, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Explanation {
    /// Whether it is denied or allowed. In audit mode a denied one is counted and passes.
    pub effect: Effect,
    /// The rule that decides; `None` if none matches.
    pub rule: Option<RuleId>,
    /// The step that decides, in words.
    pub reason: String,
    /// All rules that match, the one that decides first.
    pub matches: Vec<Match>,
    /// What only the running system knows, and would change the answer.
    pub caveats: Vec<String>,
}

/// A rule that matches an access.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Match {
    /// The rule.
    pub rule: RuleId,
    /// Why it matches.
    pub how: How,
    /// What becomes of it.
    pub role: Role,
}

/// Why a rule matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum How {
    /// It names the path.
    Name,
    /// It stands for the same file, under whatever name.
    Identity,
    /// It names a directory above.
    Below,
    /// It names the subject: the cgroup, one above it, or the executable.
    Subject,
    /// It names the peer or the port.
    Peer,
    /// It is about all that is done.
    All,
}

/// What becomes of a rule that matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// It decides.
    Decides,
    /// It says the same as the one that decides.
    Agrees,
    /// The one that decides comes before it.
    Overruled,
}

impl Policy {
    /// Which rule decides about `access`, given what this host makes of the rules ([`Written`] if nothing is known).
    #[must_use]
    pub fn explain(&self, access: &Access, facts: &dyn Facts) -> Explanation {
        let matched = Matched::of(self, access, facts);
        let (effect, rule, reason) = match access.operation {
            Operation::Connect | Operation::Bind | Operation::Network => matched.network(access),
            Operation::Ptrace | Operation::ModuleLoad | Operation::Bpf => matched.whole(),
            _ => matched.file(access),
        };
        let matches = matched.roles(effect, rule);
        Explanation {
            effect,
            rule,
            reason,
            matches,
            caveats: caveats(self, access, effect),
        }
    }
}

/// Whether an object is of a kind.
type Is = fn(&Object) -> bool;

const MOST_SPECIFIC: &str = "it is the most specific rule that matches: a file before a directory, a rule for all before one for a cgroup";

/// What was decided, by which rule, why.
type Decided = (Effect, Option<RuleId>, String);

impl Matched<'_> {
    /// Files: a rule for the cgroup alone; allowed cgroups; allowed executables; verified ones; else the most
    /// specific rule. Executing comes to names after that.
    fn file(&self, access: &Access) -> Decided {
        let deny = self
            .first(|rule| matches!(rule.kind(), Kind::DenyPath | Kind::DenyInode))
            .or_else(|| self.first(|rule| rule.kind() == Kind::DenyDir));
        let scoped = self.first(|rule| rule.kind() == Kind::CgroupDenyInode);
        let protect = self.first(|rule| rule.kind() == Kind::ProtectPath);
        let comm = self.first(|rule| rule.kind() == Kind::DenyComm);
        let exempt = self.first(|rule| rule.kind() == Kind::AllowCgroup);
        let excepted = self.first(|rule| rule.kind() == Kind::AllowExec);
        if let Some(scoped) = scoped {
            // Where an exception holds against the rules for all, this one is left.
            return match deny.filter(|_| exempt.or(excepted).is_none()) {
                Some(deny) => (Effect::Deny, Some(deny), MOST_SPECIFIC.to_owned()),
                None => (
                    Effect::Deny,
                    Some(scoped),
                    "a rule denies the file to this cgroup, which comes before all exceptions"
                        .to_owned(),
                ),
            };
        }
        if deny.or(protect).or(comm).is_none() {
            return nothing();
        }
        if let Some(allow) = exempt {
            return exempted(allow);
        }
        let mut passed = nothing();
        if deny.or(protect).is_some() {
            passed = match (excepted, deny, protect) {
                (Some(allow), ..) => (
                    Effect::Allow,
                    Some(allow),
                    "[allow_exec] excepts this executable".to_owned(),
                ),
                (None, Some(deny), _) => {
                    return (Effect::Deny, Some(deny), MOST_SPECIFIC.to_owned());
                }
                (None, None, protect) if access.verified => (
                    Effect::Allow,
                    protect,
                    "the path is protected, and the executable is verified".to_owned(),
                ),
                (None, None, protect) => {
                    let reason =
                        "the path is protected, and nothing says that the executable is verified";
                    return (Effect::Deny, protect, reason.to_owned());
                }
            };
        }
        match comm {
            Some(comm) => (
                Effect::Deny,
                Some(comm),
                "executing a file of that name is denied".to_owned(),
            ),
            None => passed,
        }
    }

    /// Peers and ports: allowed cgroups come first here, before rules for a cgroup alone too.
    fn network(&self, access: &Access) -> Decided {
        if self.denials().next().is_none() {
            return nothing();
        }
        if let Some(allow) = self.first(|rule| rule.kind() == Kind::AllowCgroup) {
            return exempted(allow);
        }
        if let Some(protect) = self.first(|rule| rule.kind() == Kind::ProtectConnect)
            && !access.verified
        {
            let reason = "[protect_connect] lets only verified executables connect, and nothing says that this one is";
            return (Effect::Deny, Some(protect), reason.to_owned());
        }
        let order: [(&str, Is); 4] = [
            ("the address is denied", |object| {
                matches!(object, Object::Address(_))
            }),
            ("the endpoint is denied", |object| {
                matches!(object, Object::Endpoint { .. })
            }),
            ("a network that holds the address is denied", |object| {
                matches!(object, Object::Prefix(_))
            }),
            ("the port is denied", |object| {
                matches!(object, Object::Port { .. })
            }),
        ];
        for (reason, is) in order {
            let of = |global: bool| {
                self.first(|rule| {
                    is(&rule.object)
                        && rule.effect == Effect::Deny
                        && (rule.subject == Subject::Any) == global
                })
            };
            if let Some(deny) = of(true).or_else(|| of(false)) {
                return (Effect::Deny, Some(deny), reason.to_owned());
            }
        }
        nothing()
    }

    /// What a section without entries denies.
    fn whole(&self) -> Decided {
        let Some(deny) = self.denials().next() else {
            return nothing();
        };
        match self.first(|rule| rule.kind() == Kind::AllowCgroup) {
            Some(allow) => exempted(allow),
            None => (
                Effect::Deny,
                Some(deny),
                "the section denies it to all".to_owned(),
            ),
        }
    }

    fn roles(&self, effect: Effect, decides: Option<RuleId>) -> Vec<Match> {
        let mut matches: Vec<Match> = self
            .iter()
            .map(|(id, rule, how)| Match {
                rule: id,
                how,
                role: if Some(id) == decides {
                    Role::Decides
                } else if rule.effect == effect {
                    Role::Agrees
                } else {
                    Role::Overruled
                },
            })
            .collect();
        matches.sort_by_key(|found| (found.role as u8, found.rule));
        matches
    }
}

fn nothing() -> Decided {
    (Effect::Allow, None, "no rule denies it".to_owned())
}

fn exempted(allow: RuleId) -> Decided {
    let reason = "[allow_cgroup] exempts the cgroup, or one above it";
    (Effect::Allow, Some(allow), reason.to_owned())
}

/// What the answer rests on that nobody said.
fn caveats(policy: &Policy, access: &Access, effect: Effect) -> Vec<String> {
    let has = |is: fn(&Rule) -> bool| policy.rules().iter().any(is);
    let mut caveats = Vec::new();
    if effect == Effect::Deny {
        caveats.push(
            "init, the service manager and the enforcer itself are never denied anything"
                .to_owned(),
        );
        if access.cgroups.is_empty() && has(|rule| rule.kind() == Kind::AllowCgroup) {
            caveats
                .push("no cgroup was named: one under [allow_cgroup] would be exempt".to_owned());
        }
        if access.executables.is_empty() && has(|rule| rule.kind() == Kind::AllowExec) {
            caveats
                .push("no executable was named: one under [allow_exec] may be excepted".to_owned());
        }
    }
    if effect == Effect::Allow {
        let by_file = access.file.is_none() && !access.names.is_empty();
        if by_file && has(|rule| matches!(rule.kind(), Kind::DenyInode | Kind::CgroupDenyInode)) {
            caveats.push("the file is not there, so rules by inode cannot be told".to_owned());
        }
        if access.cgroups.is_empty()
            && has(|rule| matches!(rule.subject, Subject::Cgroup(_)) && rule.effect == Effect::Deny)
        {
            caveats.push(
                "no cgroup was named: rules for one cgroup alone were not looked at".to_owned(),
            );
        }
    }
    if access.operation == Operation::Exec
        && has(|rule| matches!(rule.object, Object::Hash(_) | Object::ImaHash(_)))
    {
        caveats.push("rules by content were not looked at".to_owned());
    }
    caveats
}
