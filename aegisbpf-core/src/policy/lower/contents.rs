//! Files by their content.

use super::super::object::{Object, Sha256};
use super::super::problem::{Problems, quote};
use super::super::rule::{Effect, Operation, Subject};
use super::super::text::Part;
use super::Meaning;

pub(super) fn deny(part: Part<'_>, problems: &mut Problems) -> Option<Meaning> {
    let hash = Object::Hash(sum(part, problems)?);
    Some((Effect::Deny, Subject::Any, Operation::Exec, hash))
}

pub(super) fn allow(part: Part<'_>, problems: &mut Problems) -> Option<Meaning> {
    let hash = Object::Hash(sum(part, problems)?);
    Some((Effect::Allow, Subject::Any, Operation::Exec, hash))
}

pub(super) fn trusted(part: Part<'_>, problems: &mut Problems) -> Option<Meaning> {
    let hash = Object::ImaHash(sum(part, problems)?);
    Some((Effect::Allow, Subject::Any, Operation::Exec, hash))
}

fn sum(part: Part<'_>, problems: &mut Problems) -> Option<Sha256> {
    let text = part.text;
    let error = match text.parse() {
        Ok(sum) => return Some(sum),
        Err(error) => error,
    };
    let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let first = text.split_ascii_whitespace().next().unwrap_or_default();
    let digits = text
        .get(7..)
        .filter(|_| text.to_ascii_lowercase().starts_with("sha256:"));
    let remedy = if first.len() == 64 && is_hex(first) {
        format!("write `sha256:{first}`")
    } else if let Some(digits) = digits.filter(|digits| is_hex(digits)) {
        match digits.len() {
            64 => format!("write `sha256:{digits}`, in small letters before the colon"),
            count => {
                format!("a SHA-256 sum has 64 digits, this has {count}; `sha256sum FILE` prints it")
            }
        }
    } else {
        "write `sha256:` and what `sha256sum FILE` prints first".to_owned()
    };
    problems.error(part.span(), format!("{}: {error}", quote(text)), remedy);
    None
}
