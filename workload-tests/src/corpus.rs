//! Seeded data: the same seed makes the same files on every machine.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What the scans look for. It cannot occur by chance: filler text holds no capital letter.
pub const NEEDLE: &str = "AEGIS-NEEDLE";

const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789 ";

/// Files that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("writing {}: {source}", path.display())]
pub struct CorpusError {
    path: PathBuf,
    source: io::Error,
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> CorpusError {
    let path = path.to_owned();
    move |source| CorpusError { path, source }
}

/// Writes `count` files of `size` random bytes to `directory` as `0000`, `0001`, … and returns their contents.
///
/// # Errors
/// If a file cannot be written.
pub fn random_files(
    directory: &Path,
    count: usize,
    size: usize,
    seed: u64,
) -> Result<Vec<Vec<u8>>, CorpusError> {
    fs::create_dir_all(directory).map_err(at(directory))?;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..count)
        .map(|index| {
            let mut content = vec![0; size];
            rng.fill_bytes(&mut content);
            let path = directory.join(file_name(index));
            fs::write(&path, &content).map_err(at(&path))?;
            Ok(content)
        })
        .collect()
}

/// Name of the file number `index` of [`random_files`].
#[must_use]
pub fn file_name(index: usize) -> String {
    format!("{index:04}")
}

/// A tree of small text files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tree {
    /// Number of directories.
    pub directories: usize,
    /// Files in each of them.
    pub files: usize,
}

/// Writes the tree and returns how many lines hold [`NEEDLE`]. Files have 256 to 4,096 bytes, as sources do.
///
/// # Errors
/// If a file cannot be written.
pub fn text_tree(root: &Path, tree: Tree, seed: u64) -> Result<u64, CorpusError> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut needles = 0;
    for directory in 0..tree.directories {
        let directory = root.join(format!("d{directory:03}"));
        fs::create_dir_all(&directory).map_err(at(&directory))?;
        for file in 0..tree.files {
            let path = directory.join(format!("f{file:03}.txt"));
            let mut text = Vec::with_capacity(4 << 10);
            needles += lines(&mut rng, &mut text, size(file));
            fs::write(&path, &text).map_err(at(&path))?;
        }
    }
    Ok(needles)
}

/// Sizes are spread evenly and need no randomness.
fn size(file: usize) -> usize {
    256 + (file * 797) % 3_840
}

/// Writes a log of `mebibytes` MiB and returns how many lines hold [`NEEDLE`]. It repeats a few different
/// blocks of one MiB: a scan cannot tell, and a GiB is written in seconds.
///
/// # Errors
/// If the file cannot be written.
pub fn log_file(path: &Path, mebibytes: usize, seed: u64) -> Result<u64, CorpusError> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let blocks: Vec<(Vec<u8>, u64)> = (0..16)
        .map(|_| {
            let mut text = Vec::with_capacity(1 << 20);
            let needles = lines(&mut rng, &mut text, 1 << 20);
            (text, needles)
        })
        .collect();
    let mut file = BufWriter::with_capacity(4 << 20, File::create(path).map_err(at(path))?);
    let mut needles = 0;
    for _ in 0..mebibytes {
        let (text, count) = &blocks[rng.random_range(0..blocks.len())];
        file.write_all(text).map_err(at(path))?;
        needles += count;
    }
    // On disk before the first block is timed, so that write-back does not run beside it.
    file.into_inner()
        .map_err(|error| at(path)(error.into_error()))?
        .sync_all()
        .map_err(at(path))?;
    Ok(needles)
}

/// Appends exactly `size` bytes of lines to `text` and returns how many of them hold [`NEEDLE`].
fn lines(rng: &mut ChaCha8Rng, text: &mut Vec<u8>, size: usize) -> u64 {
    let end = text.len() + size;
    let mut needles = 0;
    while text.len() < end {
        let length = rng.random_range(40..120).min(end - text.len() - 1);
        let line = text.len();
        text.extend((0..length).map(|_| LETTERS[rng.random_range(0..LETTERS.len())]));
        if length > 2 * NEEDLE.len() && rng.random_range(0..50) == 0 {
            let at = line + rng.random_range(0..=length - NEEDLE.len());
            text[at..at + NEEDLE.len()].copy_from_slice(NEEDLE.as_bytes());
            needles += 1;
        }
        text.push(b'\n');
    }
    needles
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(text: &[u8]) -> u64 {
        text.split(|&byte| byte == b'\n')
            .filter(|line| String::from_utf8_lossy(line).contains(NEEDLE))
            .count() as u64
    }

    #[test]
    fn the_same_seed_writes_the_same_files() {
        let scratch = tempfile::tempdir().unwrap();
        let once = random_files(&scratch.path().join("a"), 5, 64, 1).unwrap();
        let again = random_files(&scratch.path().join("b"), 5, 64, 1).unwrap();
        let other = random_files(&scratch.path().join("c"), 5, 64, 2).unwrap();
        assert_eq!(once, again);
        assert_ne!(once, other);
        assert_eq!(fs::read(scratch.path().join("a/0004")).unwrap(), once[4]);
    }

    #[test]
    fn a_log_has_the_size_and_the_matches_that_it_promises() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("log");
        let needles = log_file(&path, 3, 7).unwrap();
        let text = fs::read(&path).unwrap();
        assert_eq!(text.len(), 3 << 20);
        assert!(needles > 0);
        assert_eq!(count(&text), needles);
    }

    #[test]
    fn a_tree_holds_the_matches_that_it_promises() {
        let scratch = tempfile::tempdir().unwrap();
        let needles = text_tree(
            scratch.path(),
            Tree {
                directories: 3,
                files: 20,
            },
            7,
        )
        .unwrap();
        let mut found = 0;
        let mut files = 0;
        for directory in fs::read_dir(scratch.path()).unwrap() {
            for file in fs::read_dir(directory.unwrap().path()).unwrap() {
                found += count(&fs::read(file.unwrap().path()).unwrap());
                files += 1;
            }
        }
        assert_eq!((found, files), (needles, 60));
        assert!(needles > 0);
    }
}
