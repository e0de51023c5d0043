//! Problems as pictures: the line with carets under what is wrong, as compilers draw it.

use std::{borrow::Cow, collections::BTreeMap, env, fs, io::IsTerminal, ops::Range, sync::Arc};

use aegisbpf_core::policy::{Problem, Severity};
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use crate::out::printable;

/// Draws problems, and keeps the files that it read for it.
pub(crate) struct Pictures {
    renderer: Renderer,
    /// The lines of each file; none if it cannot be read again.
    files: BTreeMap<Arc<str>, Vec<String>>,
}

impl Pictures {
    /// For `stream`: in colour if it is a terminal and nobody asked for none.
    pub(crate) fn on(stream: &impl IsTerminal) -> Self {
        let none = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self::new(if stream.is_terminal() && !none {
            Renderer::styled()
        } else {
            Renderer::plain()
        })
    }

    fn new(renderer: Renderer) -> Self {
        Self {
            renderer,
            files: BTreeMap::new(),
        }
    }

    /// The problem with its line; without, if the line is not there.
    pub(crate) fn draw(&mut self, problem: &Problem) -> String {
        let message = printable(&problem.message);
        let remedy = problem.remedy.as_deref().map(printable);
        let Some((line, span)) = self.line(problem) else {
            let help = remedy.map_or(Cow::Borrowed(""), |remedy| {
                format!("\n  help: {remedy}").into()
            });
            let origin = problem.origin.to_string();
            return format!(
                "{}: {message}\n --> {}{help}",
                problem.severity,
                printable(&origin)
            );
        };
        let level = match problem.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
            Severity::Note => Level::NOTE,
        };
        let snippet = Snippet::source(line)
            .line_start(problem.origin.line as usize)
            .path(&*problem.origin.source)
            .annotation(AnnotationKind::Primary.span(span));
        let mut group = Group::with_title(level.primary_title(&*message)).element(snippet);
        if let Some(remedy) = remedy.as_deref() {
            group = group.element(Level::HELP.message(remedy));
        }
        self.renderer.render(&[group])
    }

    /// The line that the problem is about, and the bytes of it.
    fn line(&mut self, problem: &Problem) -> Option<(String, Range<usize>)> {
        let origin = &problem.origin;
        let lines = self.files.entry(origin.source.clone()).or_insert_with(|| {
            // It may have changed since. Then the picture shows what is there, or nothing.
            let bytes = fs::read(&*origin.source).unwrap_or_default();
            let text = String::from_utf8_lossy(&bytes);
            text.split('\n')
                .map(|line| line.trim_end_matches('\r').to_owned())
                .collect()
        });
        let line = lines.get(origin.line.checked_sub(1)? as usize)?;
        let from = origin.column.checked_sub(1)? as usize;
        let at = |chars: usize| {
            line.char_indices()
                .nth(chars)
                .map_or(line.len(), |(at, _)| at)
        };
        let span = at(from)..at(from + problem.length as usize);
        (from <= line.chars().count()).then(|| (line.clone(), span))
    }
}

#[cfg(test)]
mod tests {
    use aegisbpf_core::Policy;

    use super::*;

    /// All problems of `text`, drawn.
    fn drawn(text: &[u8]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("p.conf");
        fs::write(&file, text).unwrap();
        let problems = match Policy::parse_bytes(text, file.to_str().unwrap()) {
            Ok(policy) => policy.warnings().clone(),
            Err(problems) => problems,
        };
        let mut pictures = Pictures::new(Renderer::plain());
        let drawn: Vec<_> = problems
            .iter()
            .map(|problem| pictures.draw(problem))
            .collect();
        drawn
            .join("\n\n")
            .replace(folder.path().to_str().unwrap(), "DIR")
    }

    #[test]
    fn carets_stand_under_what_is_wrong() {
        insta::assert_snapshot!(drawn(
            "version=6\r\n[deny_path]\r\n\t \u{e4}/shadow  \r\n[deny_pth]\n[cgroup_deny_port]\n/a.service \t 22:tcp:egres\n\
             [deny_port]\n443\n443:any\n"
                .as_bytes()
        ));
    }

    #[test]
    fn what_is_missing_has_a_place_too() {
        insta::assert_snapshot!(drawn(b"[deny_path]\n/a\n"));
        insta::assert_snapshot!(drawn(b""));
    }

    #[test]
    fn no_byte_of_a_file_reaches_the_terminal_as_a_control() {
        let drawn =
            drawn(b"version=7\n[deny_path]\n/\x1b[2J\xc3\xa4\x1b # @severity=\x1b[31m\n\xff\n");
        assert!(!drawn.contains('\x1b'), "{drawn:?}");
        let drawn = self::drawn(b"version=7\n[deny_comm]\n/\x1b[2J\n[\x1b[2Jx]\n");
        assert!(!drawn.contains('\x1b'), "{drawn:?}");
    }

    #[test]
    fn a_file_that_is_gone_leaves_the_words() {
        let problems = Policy::parse("version=1\n[deny_path]\nx\n", "/none/p.conf").unwrap_err();
        let drawn = Pictures::new(Renderer::plain()).draw(problems.iter().next().unwrap());
        assert_eq!(
            drawn,
            "error: `x` is not an absolute path\n --> /none/p.conf:3:1\n  help: write the whole path, from `/`"
        );
    }
}
