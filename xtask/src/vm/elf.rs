//! Which shared libraries an ELF program needs, as its own dynamic loader finds them.

use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::process::Command;

use object::read::elf::{FileHeader, ProgramHeader};
use object::{Endianness, ReadCache, elf};

use super::error::{self, Attempt, Error, Result};

/// The loader and the libraries of a program; none for a static program or for what is no ELF file (a script).
pub(crate) fn libraries(path: &Path) -> Result<Vec<PathBuf>> {
    let Some(interpreter) = interpreter(path)? else {
        return Ok(Vec::new());
    };
    // `--list` is what ldd runs: the loader maps the file, resolves and prints, and starts nothing.
    let output = error::output(Command::new(&interpreter).arg("--list").arg(path))?;
    let listing = String::from_utf8_lossy(&output.stdout);
    let mut found = vec![interpreter];
    found.extend(parse(&listing).map_err(|library| Error::NoLibrary {
        path: path.to_owned(),
        library,
    })?);
    Ok(found)
}

/// The dynamic loader that a program names (`PT_INTERP`).
pub(crate) fn interpreter(path: &Path) -> Result<Option<PathBuf>> {
    let mut file = File::open(path).attempt("opening", path)?;
    let mut magic = [0; 4];
    if file.read_exact(&mut magic).is_err() || magic != elf::ELFMAG {
        return Ok(None);
    }
    file.rewind().attempt("reading", path)?;
    // Programs with debug information are large, and we want a few bytes of them.
    let data = ReadCache::new(file);
    read_interpreter(&data).map_err(|source| Error::Elf {
        path: path.to_owned(),
        source,
    })
}

fn read_interpreter(data: &ReadCache<File>) -> object::Result<Option<PathBuf>> {
    let header = elf::FileHeader64::<Endianness>::parse(data)?;
    let endian = header.endian()?;
    for segment in header.program_headers(endian, data)? {
        if let Some(name) = segment.interpreter(endian, data)? {
            return Ok(Some(PathBuf::from(
                String::from_utf8_lossy(name).into_owned(),
            )));
        }
    }
    Ok(None)
}

/// Lines are `name => path (address)`, `path (address)` or `name => not found`; the vdso has no path.
fn parse(listing: &str) -> std::result::Result<Vec<PathBuf>, String> {
    let mut paths = Vec::new();
    for line in listing.lines() {
        let (name, target) = match line.trim().split_once(" => ") {
            Some((name, target)) => (name, target),
            None => (line.trim(), line.trim()),
        };
        if target == "not found" {
            return Err(name.to_owned());
        }
        let path = target.rsplit_once(" (").map_or(target, |(path, _)| path);
        if path.starts_with('/') {
            paths.push(PathBuf::from(path));
        }
    }
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_listing_gives_paths_and_names_the_missing() {
        let listing = "\tlinux-vdso.so.1 (0x7ffd)\n\tlibc.so.6 => /lib/libc.so.6 (0x7f00)\n\t/lib64/ld.so (0x7f11)\n";
        let paths = parse(listing).unwrap();
        assert_eq!(
            paths,
            [Path::new("/lib/libc.so.6"), Path::new("/lib64/ld.so")]
        );
        assert_eq!(parse("\tlibx.so => not found\n"), Err("libx.so".into()));
    }

    #[test]
    fn this_test_program_needs_its_loader_and_a_libc() {
        let libraries = libraries(&std::env::current_exe().unwrap()).unwrap();
        assert!(
            libraries
                .iter()
                .any(|path| path.to_string_lossy().contains("libc.so"))
        );
        assert!(libraries.iter().all(|path| path.is_file()));
    }

    #[test]
    fn a_text_file_needs_nothing() {
        let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        assert!(libraries(Path::new(manifest)).unwrap().is_empty());
    }
}
