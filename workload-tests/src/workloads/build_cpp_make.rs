//! `build::cpp_make`: `make -j` over a real C++ source tree from Debian: LevelDB for the short budgets, the runtime of
//! Protocol Buffers for the long one. The list of units is the project's own; the objects go to a tmpfs.

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

use aegisbpf_measure::workload::BoxError;

use crate::{
    workload::{Prepared, Requirement, Workload, find_program, sources, version},
    workloads::compile::{Build, Builder, Unit},
};

const GXX: Requirement = Requirement::Program {
    name: "g++",
    package: "g++",
};
const MAKE: Requirement = Requirement::Program {
    name: "make",
    package: "make",
};

/// A source tree and how it is compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tree {
    /// 38 units, about 23 CPU seconds.
    LevelDb,
    /// 84 units, about 110 CPU seconds.
    Protobuf,
}

impl Tree {
    fn package(self) -> &'static str {
        match self {
            Self::LevelDb => "leveldb",
            Self::Protobuf => "protobuf",
        }
    }

    fn flags(self) -> &'static str {
        match self {
            Self::LevelDb => {
                "-std=c++11 -O2 -pipe -DNDEBUG -DLEVELDB_PLATFORM_POSIX=1 -I. -Iinclude"
            }
            Self::Protobuf => "-std=c++11 -O2 -pipe -DNDEBUG -DHAVE_PTHREAD=1 -Isrc",
        }
    }

    /// A header that every unit includes.
    fn header(self) -> &'static str {
        match self {
            Self::LevelDb => "include/leveldb/export.h",
            Self::Protobuf => "src/google/protobuf/port_def.inc",
        }
    }

    /// The project's own list of the library's units, for this system.
    fn units(self, root: &Path) -> Result<Vec<PathBuf>, BoxError> {
        let read = |name: &str| {
            let path = root.join(name);
            fs::read_to_string(&path)
                .map_err(|error| format!("reading {}: {error}", path.display()))
        };
        let (lists, end) = match self {
            // The library's list is the first; tests and tools follow.
            Self::LevelDb => (vec![read("CMakeLists.txt")?], "helpers/memenv"),
            Self::Protobuf => (
                vec![
                    read("cmake/libprotobuf-lite.cmake")?,
                    read("cmake/libprotobuf.cmake")?,
                ],
                "_includes",
            ),
        };
        let mut units = Vec::new();
        for list in &lists {
            let list = list.split(end).next().unwrap_or_default();
            let names = list
                .split_whitespace()
                .map(|word| word.trim_matches('"'))
                .filter(|word| word.ends_with(".cc") && !word.contains("windows"))
                .map(|word| word.trim_start_matches("${protobuf_SOURCE_DIR}/"));
            units.extend(names.map(PathBuf::from));
        }
        units.retain(|unit| root.join(unit).is_file());
        if units.is_empty() {
            return Err(format!("no units listed in {}", root.display()).into());
        }
        Ok(units)
    }
}

/// The workload. One operation is an object that came out as it did the first time.
#[derive(Debug, Clone, Copy)]
pub struct CppMake {
    /// What is built.
    pub tree: Tree,
    /// How long one build is to take.
    pub unit: Duration,
}

impl Workload for CppMake {
    fn name(&self) -> &'static str {
        "build::cpp_make"
    }

    fn configuration(&self) -> String {
        format!(
            "as many units of {:?} as take {:?}, {}, {}, {}",
            self.tree,
            self.unit,
            self.tree.flags(),
            version(find_program("make"), "--version"),
            version(find_program("g++"), "--version")
        )
    }

    fn requires(&self) -> &'static [Requirement] {
        match self.tree {
            Tree::LevelDb => &[GXX, MAKE, Requirement::Sources { package: "leveldb" }],
            Tree::Protobuf => &[
                GXX,
                MAKE,
                Requirement::Sources {
                    package: "protobuf",
                },
            ],
        }
    }

    fn prepare(&self, scratch: &Path) -> Result<Prepared, BoxError> {
        let root = sources(self.tree.package()).ok_or("the sources have just gone")?;
        let units: Vec<Unit> = self
            .tree
            .units(&root)?
            .into_iter()
            .map(|source| Unit {
                object: source
                    .with_extension("o")
                    .display()
                    .to_string()
                    .replace('/', "-"),
                source,
            })
            .collect();
        let makefile = scratch.join("Makefile");
        fs::write(&makefile, rules(self.tree.flags(), &units))?;
        let builder = Make {
            make: find_program("make").ok_or_else(|| MAKE.to_string())?,
            root: root.clone(),
            makefile,
        };
        Build::prepare(
            builder,
            units,
            scratch,
            self.unit,
            root.join(self.tree.header()),
        )
    }
}

fn rules(flags: &str, units: &[Unit]) -> String {
    let mut rules = String::new();
    for Unit { source, object } in units {
        let source = source.display();
        let _ = writeln!(
            rules,
            "$(OBJECTS)/{object}: {source}\n\tg++ {flags} -c -o $@ {source}"
        );
    }
    rules
}

struct Make {
    make: PathBuf,
    root: PathBuf,
    makefile: PathBuf,
}

impl Builder for Make {
    fn commands(
        &self,
        units: &[Unit],
        objects: &Path,
        start: &dyn Fn(&Path) -> Command,
    ) -> Vec<Command> {
        let cpus = thread::available_parallelism().map_or(1, usize::from);
        let mut command = start(&self.make);
        command
            .args(["--silent", "--keep-going", "--no-builtin-rules"])
            .arg(format!("--jobs={cpus}"))
            .arg("--directory")
            .arg(&self.root)
            .arg("--file")
            .arg(&self.makefile)
            .arg(format!("OBJECTS={}", objects.display()))
            // Set in the environment of `cargo test`, and none of this make's business.
            .env_remove("MAKEFLAGS")
            .env_remove("MFLAGS")
            .env_remove("CARGO_MAKEFLAGS");
        command.args(units.iter().map(|unit| objects.join(&unit.object)));
        vec![command]
    }
}
