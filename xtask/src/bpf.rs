//! `cargo xtask bpf [--check]`: builds the BPF objects that `aegisbpf-bpf` embeds.
//!
//! The same sources give the same bytes from any directory: headers of the machine are not used
//! (`-nostdinc`), paths are mapped away, and the compiler's major version is fixed.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
};

/// The objects, each built from one `.bpf.c` of the same name.
const OBJECTS: [&str; 5] = ["aegis", "observe", "selftest", "modify", "dose"];
const CLANG: &str = "clang-19";
const STRIP: &str = "llvm-strip-19";
const FLAGS: [&str; 11] = [
    "-target",
    "bpfel",
    "-mcpu=v3",
    "-O2",
    "-g",
    "-nostdinc",
    "-Wall",
    "-Wextra",
    "-Wno-unused-parameter",
    "-Wno-unused-variable",
    "-Werror",
];

/// Why the objects could not be built or compared.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The compiler is not there.
    #[error("running {program}: {source}\nhelp: apt-get install clang-19 llvm-19")]
    Missing {
        program: &'static str,
        source: io::Error,
    },
    /// The compiler does not like the sources.
    #[error("{program} on {object}.bpf.c ended with {status}")]
    Compiler {
        program: &'static str,
        object: &'static str,
        status: ExitStatus,
    },
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    File { path: PathBuf, source: io::Error },
    /// What is committed is not what the sources give.
    #[error(
        "the committed {0} is not what its sources build\nhelp: run `cargo xtask bpf` and commit the objects"
    )]
    Stale(String),
}

/// Builds all objects into place or, with `check`, compares them with what is there.
///
/// # Errors
/// If a tool is missing, a source does not compile, or (with `check`) an object differs.
pub(crate) fn run(check: bool) -> Result<(), Error> {
    let home = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or(Path::new("."))
        .join("aegisbpf-bpf");
    let scratch = tempfile::tempdir().map_err(|source| Error::File {
        path: std::env::temp_dir(),
        source,
    })?;
    for object in OBJECTS {
        let built = build(&home.join("bpf"), object, scratch.path())?;
        let place = home.join("object").join(format!("{object}.bpf.o"));
        if check {
            if read(&place)? != built {
                return Err(Error::Stale(format!("{object}.bpf.o")));
            }
            println!("{object}.bpf.o: {} bytes, reproduced", built.len());
        } else {
            fs::write(&place, &built).map_err(|source| Error::File {
                path: place,
                source,
            })?;
            println!("{object}.bpf.o: {} bytes", built.len());
        }
    }
    Ok(())
}

fn build(sources: &Path, object: &'static str, scratch: &Path) -> Result<Vec<u8>, Error> {
    let out = scratch.join(format!("{object}.bpf.o"));
    let mut clang = Command::new(CLANG);
    clang
        .current_dir(sources)
        .args(FLAGS)
        .arg(format!("-ffile-prefix-map={}=.", sources.display()))
        .arg("-c")
        .arg(format!("{object}.bpf.c"))
        .arg("-o")
        .arg(&out);
    finish(CLANG, object, &mut clang)?;
    // -g drops the debugging sections and keeps .BTF and .BTF.ext, which the loader needs.
    finish(STRIP, object, Command::new(STRIP).arg("-g").arg(&out))?;
    read(&out)
}

fn finish(program: &'static str, object: &'static str, command: &mut Command) -> Result<(), Error> {
    let status = command
        .status()
        .map_err(|source| Error::Missing { program, source })?;
    if status.success() {
        Ok(())
    } else {
        Err(Error::Compiler {
            program,
            object,
            status,
        })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|source| Error::File {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[ignore = "needs clang-19 and llvm-19: cargo test -p xtask -- --ignored"]
    fn the_objects_are_the_same_from_any_directory() {
        let home = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .unwrap()
            .join("aegisbpf-bpf");
        let elsewhere = tempfile::tempdir().unwrap();
        let sources = elsewhere.path().join("some where/else");
        fs::create_dir_all(&sources).unwrap();
        for file in fs::read_dir(home.join("bpf")).unwrap() {
            let file = file.unwrap().path();
            fs::copy(&file, sources.join(file.file_name().unwrap())).unwrap();
        }
        for object in OBJECTS {
            let built = build(&sources, object, elsewhere.path()).unwrap();
            let committed = read(&home.join("object").join(format!("{object}.bpf.o"))).unwrap();
            assert!(
                built == committed,
                "{object}.bpf.o differs: run `cargo xtask bpf` and commit the objects"
            );
        }
    }
}
