//! Bytes kept in the kernel under a name: an array map that no program reads, pinned once it is whole.

use std::path::Path;

use aya::maps::{Array, IterableMap, Map, MapData, MapError};

use super::runtime;
use crate::error::{Error, Result};

const CHUNK: usize = 4096;
/// The first chunk begins with the number of bytes.
const HEADER: usize = size_of::<u64>();

type Chunks = Array<MapData, [u8; CHUNK]>;

/// Keeps `bytes` at `path`, which nothing may have yet.
///
/// # Errors
/// If the kernel refuses; then nothing is there.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let failed = |e: MapError| Error::kernel(format!("keeping {}", path.display()), e);
    let mut whole = (bytes.len() as u64).to_le_bytes().to_vec();
    whole.extend_from_slice(bytes);
    let count = u32::try_from(whole.len().div_ceil(CHUNK)).unwrap_or(u32::MAX);
    let mut chunks = Chunks::create(count, 0).map_err(failed)?;
    for (index, part) in (0..count).zip(whole.chunks(CHUNK)) {
        let mut chunk = [0; CHUNK];
        chunk[..part.len()].copy_from_slice(part);
        chunks.set(index, chunk, 0).map_err(failed)?;
    }
    chunks
        .pin(path)
        .map_err(|e| Error::kernel(format!("keeping {}", path.display()), e))
}

/// The bytes kept at `path`.
///
/// # Errors
/// If nothing is there, or something that [`write()`] did not make.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    let failed = |e: MapError| Error::kernel(format!("reading {}", path.display()), e);
    let chunks = open(path)?;
    let mut whole = Vec::new();
    for index in 0..chunks.len() {
        whole.extend_from_slice(&chunks.get(&index, 0).map_err(failed)?);
    }
    let header = whole.first_chunk::<HEADER>().copied();
    let length = header.and_then(|length| usize::try_from(u64::from_le_bytes(length)).ok());
    length
        .and_then(|length| whole.get(HEADER..HEADER.checked_add(length)?))
        .map(<[u8]>::to_vec)
        .ok_or_else(|| {
            Error::kernel(
                format!("reading {}", path.display()),
                "it is not what was written there",
            )
        })
}

/// Bytes that it holds in the kernel.
///
/// # Errors
/// As [`read`].
pub(crate) fn memory(path: &Path) -> Result<u64> {
    runtime::map_memory(IterableMap::map(&open(path)?).fd())
}

fn open(path: &Path) -> Result<Chunks> {
    MapData::from_pin(path)
        .and_then(Map::from_map_data)
        .and_then(Chunks::try_from)
        .map_err(|e| Error::kernel(format!("opening {}", path.display()), e))
}
