//! Entries to rules: what each line means, within the limits of the language, and each meaning once.

mod cgroups;
mod contents;
mod files;
mod labels;
mod network;

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use hashbrown::HashTable;

use self::labels::Label;
use super::include::{Include, Loader};
use super::object::Object;
use super::parse::{Entry, Parser, not_utf8};
use super::problem::{Problems, quote};
use super::rule::{Effect, Operation, Rule, Subject};
use super::section::{Kind, NEWEST};
use super::settings::{ScanPath, Settings};
use super::text::{Part, chars, split_label};

/// Texts on their way to a policy.
pub(super) struct Builder<'l> {
    pub(super) rules: Vec<Rule>,
    pub(super) settings: Settings,
    pub(super) problems: Problems,
    loader: &'l mut dyn Loader,
    /// Indices of `rules`, by their meaning.
    known: HashTable<u32>,
    hasher: RandomState,
    /// The files that are being read, the outermost first.
    open: Vec<Include>,
    /// The identities of the files that were read, and who included them first.
    read: BTreeMap<Arc<str>, String>,
}

/// What an entry means.
type Meaning = (Effect, Subject, Operation, Object);

/// What an entry says about the version of its text.
#[derive(Clone, Copy)]
struct Format {
    /// What the header says, or the newest if it says nothing sensible.
    version: u8,
}

/// How deep files may include files.
const DEPTH: usize = 16;

impl<'l> Builder<'l> {
    pub(super) fn new(loader: &'l mut dyn Loader) -> Self {
        Self {
            rules: Vec::new(),
            settings: Settings::default(),
            problems: Problems::default(),
            loader,
            known: HashTable::new(),
            hasher: RandomState::new(),
            open: Vec::new(),
            read: BTreeMap::new(),
        }
    }

    /// Takes a text and all that it includes. Gives the version that it states, if it states one.
    pub(super) fn text(&mut self, text: &str, file: Include) -> Option<u8> {
        let source = file.source.clone();
        self.open.push(file);
        let mut parser = Parser::new(text, &source);
        while let Some(entry) = parser.next(&mut self.problems) {
            let format = Format {
                version: parser.version().unwrap_or(NEWEST),
            };
            self.entry(&entry, format);
        }
        self.open.pop();
        parser.version()
    }

    fn entry(&mut self, entry: &Entry<'_>, format: Format) {
        let part = entry.part;
        if self.open.len() > 1 && format.version < NEWEST && split_label(part.text).0 != part.text {
            let message = format!(
                "{} is included by a policy of version {NEWEST}, where ` #` begins a label",
                quote(part.text)
            );
            let remedy =
                format!("write `version={NEWEST}` in this file too, or give the file another name");
            return self.problems.error(part.span(), message, remedy);
        }
        let label = labels::read(entry.label, &mut self.problems);
        let problems = &mut self.problems;
        let meaning = match entry.kind {
            Kind::DenyPath => files::deny_path(part, format, problems),
            Kind::DenyInode => files::deny_inode(part, format, problems),
            Kind::DenyDir => files::deny_dir(part, problems),
            Kind::ProtectPath => files::protect_path(part, format, problems),
            Kind::AllowExec => files::allow_exec(part, problems),
            Kind::DenyComm => files::deny_comm(part, problems),
            Kind::AllowCgroup => cgroups::allow(part, problems),
            Kind::CgroupDenyInode => cgroups::deny_inode(part, format, problems),
            Kind::CgroupDenyIp => cgroups::deny_ip(part, format, problems),
            Kind::CgroupDenyPort => cgroups::deny_port(part, problems),
            Kind::DenyIp => network::deny_ip(part, problems),
            Kind::DenyCidr => network::deny_cidr(part, problems),
            Kind::DenyPort => network::deny_port(part, problems),
            Kind::DenyIpPort => network::deny_ip_port(part, problems),
            Kind::DenyBinaryHash => contents::deny(part, problems),
            Kind::AllowBinaryHash => contents::allow(part, problems),
            Kind::TrustedExecHash => contents::trusted(part, problems),
            Kind::DenyPtrace => Some(everything(Subject::Any, Operation::Ptrace)),
            Kind::DenyModuleLoad => Some(everything(Subject::Any, Operation::ModuleLoad)),
            Kind::DenyBpf => Some(everything(Subject::Any, Operation::Bpf)),
            Kind::ProtectConnect => Some(everything(Subject::Unverified, Operation::Connect)),
            Kind::ScanPaths => return self.scan_path(part, &label),
            Kind::ProtectRuntimeDeps | Kind::RequireImaAppraisal | Kind::ImaFailClosed => {
                return self.flag(entry.kind, part, &label);
            }
            Kind::Include => return self.include(part, &label),
        };
        if let Some(meaning) = meaning {
            self.rule(meaning, label, part);
        }
    }

    fn rule(&mut self, meaning: Meaning, label: Label, part: Part<'_>) {
        let (effect, subject, operation, object) = meaning;
        let rule = Rule {
            effect,
            subject,
            operation,
            object,
            note: label.note,
            tags: label.tags,
            origin: part.origin(),
            length: chars(part.text),
        };
        let rules = &mut self.rules;
        let hash = |rule: &Rule| self.hasher.hash_one(rule.meaning());
        let found = self.known.entry(
            hash(&rule),
            |index| rules[*index as usize].meaning() == rule.meaning(),
            |index| hash(&rules[*index as usize]),
        );
        match found {
            hashbrown::hash_table::Entry::Occupied(first) => {
                let first = &rules[*first.get() as usize].origin;
                let place = if first.source == *part.source {
                    format!("line {}", first.line)
                } else {
                    first.to_string()
                };
                self.problems.warning(
                    part.span(),
                    format!(
                        "{} says the same as {place}; it counts once",
                        quote(part.text)
                    ),
                    "remove one of the two lines",
                );
            }
            hashbrown::hash_table::Entry::Vacant(place) => {
                let index = u32::try_from(rules.len())
                    .expect("texts end long before 2^32 rules: they have at most 64 MiB");
                place.insert(index);
                rules.push(rule);
            }
        }
    }

    fn scan_path(&mut self, part: Part<'_>, label: &Label) {
        self.label_goes_nowhere(Kind::ScanPaths, part, label);
        let problems = &mut self.problems;
        let Some(path) = files::within_limits(part, problems) else {
            return;
        };
        if path.is_relative() {
            problems.warning(
                part.span(),
                format!(
                    "{} is relative: where it leads depends on where the enforcer is started",
                    quote(part.text)
                ),
                "write the whole path, from `/`",
            );
        }
        let same = |scan: &&ScanPath| scan.path == path;
        if let Some(first) = self.settings.scan_paths.iter().find(same) {
            let message = format!(
                "{} says the same as line {}; it counts once",
                quote(part.text),
                first.origin.line
            );
            return problems.warning(part.span(), message, "remove one of the two lines");
        }
        self.settings.scan_paths.push(ScanPath {
            path,
            origin: part.origin(),
        });
    }

    fn flag(&mut self, kind: Kind, part: Part<'_>, label: &Label) {
        self.label_goes_nowhere(kind, part, label);
        let setting = match kind {
            Kind::RequireImaAppraisal => &mut self.settings.require_ima_appraisal,
            Kind::ImaFailClosed => &mut self.settings.ima_fail_closed,
            _ => &mut self.settings.protect_runtime_deps,
        };
        if let Some(first) = setting {
            let message = format!(
                "[{}] says the same as line {}; it counts once",
                kind.name(),
                first.line
            );
            return self
                .problems
                .warning(part.span(), message, "remove one of the two lines");
        }
        *setting = Some(part.origin());
    }

    /// What is no rule has no events and no counters that could show its label.
    fn label_goes_nowhere(&mut self, kind: Kind, part: Part<'_>, label: &Label) {
        if label.note.is_some() || !label.tags.is_empty() {
            self.problems.warning(
                part.span(),
                format!(
                    "the label is shown nowhere: [{}] makes no rule",
                    kind.name()
                ),
                "write it as a comment, on a line of its own",
            );
        }
    }

    fn include(&mut self, part: Part<'_>, label: &Label) {
        self.label_goes_nowhere(Kind::Include, part, label);
        let Some(path) = files::within_limits(part, &mut self.problems) else {
            return;
        };
        let refuse = |problems: &mut Problems, message: String, remedy: &str| {
            problems.error(
                part.span(),
                format!("cannot include {}: {message}", quote(part.text)),
                remedy,
            );
        };
        if self.open.len() > DEPTH {
            return refuse(
                &mut self.problems,
                format!(
                    "it would be the {}th file in a row that includes another",
                    DEPTH + 1
                ),
                "include it from a file nearer to the first",
            );
        }
        let files = match self.loader.find(&path, part.source) {
            Ok(files) => files,
            Err(error) => return refuse(&mut self.problems, error.message, &error.remedy),
        };
        if files.is_empty() {
            self.problems.warning(
                part.span(),
                format!(
                    "{} has no file whose name ends in `.conf`",
                    quote(part.text)
                ),
                "name the files in it so, or remove the line",
            );
        }
        for file in files {
            if self.open.iter().any(|open| open.identity == file.identity) {
                let way: Vec<&str> = self.open.iter().map(|open| &*open.source).collect();
                refuse(
                    &mut self.problems,
                    format!(
                        "the files include each other in a circle: {}, {}",
                        way.join(", "),
                        file.source
                    ),
                    "remove the line from one of them",
                );
                continue;
            }
            if let Some(first) = self.read.get(&file.identity) {
                let message = format!(
                    "{} was included already, at {first}; it counts once",
                    file.source
                );
                self.problems
                    .warning(part.span(), message, "remove one of the two lines");
                continue;
            }
            self.read
                .insert(file.identity.clone(), part.origin().to_string());
            let bytes = match self.loader.read(&file) {
                Ok(bytes) => bytes,
                Err(error) => {
                    refuse(&mut self.problems, error.message, &error.remedy);
                    continue;
                }
            };
            match std::str::from_utf8(&bytes) {
                Ok(text) => {
                    self.text(text, file);
                }
                Err(error) => {
                    let problems = not_utf8(&bytes, error.valid_up_to(), &file.source);
                    self.problems.extend(problems);
                }
            }
        }
    }
}

fn everything(subject: Subject, operation: Operation) -> Meaning {
    (Effect::Deny, subject, operation, Object::Any)
}

fn deny(operation: Operation, object: Object) -> Meaning {
    (Effect::Deny, Subject::Any, operation, object)
}
