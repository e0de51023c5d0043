//! `build::embedded`: generated C++ sources and the system's compiler. Each unit includes a good part of the standard
//! library, so a compiler run opens a few hundred files.

use std::{
    fmt::Write,
    fs, io,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

use aegisbpf_measure::workload::BoxError;

use crate::{
    workload::{Prepared, Requirement, Workload, find_program, version},
    workloads::{
        build_churn,
        compile::{Build, Builder, Unit},
    },
};

const UNITS: usize = 60;
const FLAGS: [&str; 4] = ["-std=c++17", "-O1", "-pipe", "-c"];
const HEADER: &str = "#pragma once\n#define UNIT_VERSION \"1\"\n";

/// The workload. One operation is an object that came out as it did the first time; where there is no C++ compiler, a
/// file that was written, read, moved and removed.
#[derive(Debug, Clone, Copy)]
pub struct Embedded {
    /// How long one build is to take.
    pub unit: Duration,
}

impl Workload for Embedded {
    fn name(&self) -> &'static str {
        "build::embedded"
    }

    fn configuration(&self) -> String {
        match compiler() {
            Some(compiler) => format!(
                "as many of {UNITS} units as take {:?}, {FLAGS:?}, {}",
                self.unit,
                version(Some(compiler), "--version")
            ),
            None => build_churn::configuration(),
        }
    }

    fn requires(&self) -> &'static [Requirement] {
        &[]
    }

    fn prepare(&self, scratch: &Path) -> Result<Prepared, BoxError> {
        let Some(compiler) = compiler() else {
            return build_churn::prepare(scratch);
        };
        let units = write_sources(&scratch.join("source"))?;
        let builder = Direct { compiler };
        let header = scratch.join("source/config.h");
        Build::prepare(builder, units, scratch, self.unit, header)
    }
}

fn compiler() -> Option<PathBuf> {
    ["c++", "g++", "clang++"].into_iter().find_map(find_program)
}

/// Units that differ in their numbers alone, so that each costs the same.
fn write_sources(directory: &Path) -> io::Result<Vec<Unit>> {
    fs::create_dir(directory)?;
    fs::write(directory.join("config.h"), HEADER)?;
    (0..UNITS)
        .map(|number| {
            let source = directory.join(format!("unit{number:02}.cc"));
            fs::write(&source, text(number))?;
            let object = format!("unit{number:02}.o");
            Ok(Unit { source, object })
        })
        .collect()
}

fn text(number: usize) -> String {
    let mut text = String::from("#include \"config.h\"\n");
    for header in [
        "algorithm",
        "functional",
        "map",
        "memory",
        "numeric",
        "sstream",
        "string",
        "vector",
    ] {
        let _ = writeln!(text, "#include <{header}>");
    }
    let _ = writeln!(text, "namespace unit{number} {{");
    for function in 0..2 {
        let seed = number * 100 + function;
        let _ = write!(
            text,
            r#"
std::string f{function}(const std::vector<int> &values) {{
    std::map<std::string, std::vector<int>> groups;
    for (int value : values) groups[std::to_string((value + {seed}) % 17)].push_back(value * {function} + {number});
    std::ostringstream out;
    for (auto &[name, group] : groups) {{
        std::sort(group.begin(), group.end(), std::greater<int>());
        out << name << UNIT_VERSION << std::accumulate(group.begin(), group.end(), {seed}) << ';';
    }}
    return out.str();
}}
"#
        );
    }
    text.push_str("}\n");
    text
}

/// The compiler without a build tool: a command for each CPU, which compiles its share one after the other.
struct Direct {
    compiler: PathBuf,
}

/// Stops at the first unit that does not compile. Arguments: object, source, object, source …
const COMPILE: &str = r#"compiler=$1 flags=$2; shift 2
while [ $# -gt 0 ]; do "$compiler" $flags -o "$1" "$2" || exit; shift 2; done"#;

impl Builder for Direct {
    fn commands(
        &self,
        units: &[Unit],
        objects: &Path,
        start: &dyn Fn(&Path) -> Command,
    ) -> Vec<Command> {
        let cpus = thread::available_parallelism().map_or(1, usize::from);
        (0..cpus.min(units.len()))
            .map(|cpu| {
                let mut command = start(Path::new("/bin/sh"));
                command.args(["-c", COMPILE, "compile"]).arg(&self.compiler);
                command.arg(FLAGS.join(" "));
                for unit in units.iter().skip(cpu).step_by(cpus) {
                    command.arg(objects.join(&unit.object)).arg(&unit.source);
                }
                command
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use aegisbpf_measure::workload::{Block, Load};

    use super::*;

    #[test]
    fn a_unit_that_does_not_compile_is_an_error_with_the_systems_word() {
        if compiler().is_none() || !Requirement::Root.is_met() {
            eprintln!("ignored: no C++ compiler, or not root");
            return;
        }
        let scratch = crate::scratch::Scratch::new().unwrap();
        let workload = Embedded {
            unit: Duration::from_millis(1),
        };
        let mut prepared = workload.prepare(scratch.path()).unwrap();
        let block = Block {
            seed: 1,
            settle: Duration::ZERO,
            window: Duration::ZERO,
            load: Load::Closed,
        };
        let mut run = || prepared.session.run(&block).unwrap();
        let sample = run();
        assert!(
            sample.operations > 0 && sample.errors.is_empty(),
            "{:?}",
            sample.errors
        );
        assert!(sample.cpu > Duration::from_millis(10), "{:?}", sample.cpu);

        let header = &prepared.sensitive[0];
        fs::write(header, HEADER.replace("\"1\"", "\"2\"")).unwrap();
        assert_eq!(run().errors.keys().collect::<Vec<_>>(), ["another object"]);
        fs::remove_file(header).unwrap();
        let sample = run();
        let classes: Vec<&String> = sample.errors.keys().collect();
        assert_eq!(classes, ["exit status: 1: No such file or directory"]);
        assert_eq!(sample.operations, 0);
        drop(prepared);
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        assert!(!mounts.contains(&scratch.path().display().to_string()));
    }
}
