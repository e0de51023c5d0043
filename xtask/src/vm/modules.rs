//! Kernel modules: find them, decompress them, and order them by the `depends=` tag that each one carries.
//!
//! An unpacked package has no `modules.dep`; that file is made when a kernel is installed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use object::{Object, ObjectSection};

use super::error::{self, Attempt, Error, Result};
use super::kernel::Kernel;

/// A module, ready for insmod.
#[derive(Debug)]
pub(crate) struct Module {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
}

/// The wanted modules and what they depend on, in the order to load them. Built-in ones are left out.
pub(crate) fn collect(kernel: &Kernel, wanted: &[&str]) -> Result<Vec<Module>> {
    if !kernel.modules.is_dir() {
        // A kernel file without modules beside it has to have everything built in; the guest says so if it has not.
        return Ok(Vec::new());
    }
    let mut files = BTreeMap::new();
    list(&kernel.modules, &mut files)?;
    let builtin = kernel.modules.join("modules.builtin");
    let builtin = fs::read_to_string(&builtin)
        .attempt("reading", &builtin)?
        .lines()
        .filter_map(|line| module_name(Path::new(line)))
        .collect();
    let mut load = Load {
        kernel,
        files,
        builtin,
        seen: BTreeSet::new(),
        order: Vec::new(),
    };
    for name in wanted {
        load.add(name)?;
    }
    Ok(load.order)
}

struct Load<'a> {
    kernel: &'a Kernel,
    files: BTreeMap<String, PathBuf>,
    builtin: BTreeSet<String>,
    seen: BTreeSet<String>,
    order: Vec<Module>,
}

impl Load<'_> {
    fn add(&mut self, name: &str) -> Result<()> {
        let name = name.replace('-', "_");
        if self.builtin.contains(&name) || !self.seen.insert(name.clone()) {
            return Ok(());
        }
        let file = self.files.get(&name).ok_or_else(|| Error::NoModule {
            name: name.clone(),
            dir: self.kernel.modules.clone(),
        })?;
        let bytes = read(file)?;
        let elf_error = |source| Error::Elf {
            path: file.clone(),
            source,
        };
        let elf = object::File::parse(&*bytes).map_err(elf_error)?;
        let info = match elf.section_by_name(".modinfo") {
            Some(section) => section.data().map_err(elf_error)?,
            None => &[],
        };
        for dependency in depends(info) {
            self.add(&dependency)?;
        }
        self.order.push(Module { name, bytes });
        Ok(())
    }
}

/// The names in the `depends=` tag of a `.modinfo` section, which is a row of NUL-terminated `key=value`.
fn depends(modinfo: &[u8]) -> Vec<String> {
    modinfo
        .split(|&byte| byte == 0)
        .filter_map(|tag| std::str::from_utf8(tag).ok()?.strip_prefix("depends="))
        .flat_map(|names| names.split(','))
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

/// `drivers/virtio/virtio-pci.ko.xz` is module `virtio_pci`.
fn module_name(path: &Path) -> Option<String> {
    let (name, _) = path.file_name()?.to_str()?.split_once(".ko")?;
    Some(name.replace('-', "_"))
}

fn list(dir: &Path, files: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    for entry in fs::read_dir(dir).attempt("listing", dir)? {
        let entry = entry.attempt("listing", dir)?;
        let path = entry.path();
        if entry.file_type().attempt("looking at", &path)?.is_dir() {
            list(&path, files)?;
        } else if let Some(name) = module_name(&path) {
            files.insert(name, path);
        }
    }
    Ok(())
}

/// busybox's insmod hands a compressed module to the kernel as it is, and Debian's kernels do not decompress.
fn read(file: &Path) -> Result<Vec<u8>> {
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("xz") => {
            let xz = error::tool("xz", "xz-utils")?;
            Ok(error::output(Command::new(xz).arg("-dc").arg(file))?.stdout)
        }
        Some("zst") => {
            let zstd = error::tool("zstd", "zstd")?;
            Ok(error::output(Command::new(zstd).arg("-dcq").arg(file))?.stdout)
        }
        _ => fs::read(file).attempt("reading", file),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depends_is_one_tag_among_others() {
        let info = b"license=GPL\0depends=virtio,virtio_ring\0retpoline=Y\0";
        assert_eq!(depends(info), ["virtio", "virtio_ring"]);
        assert!(depends(b"license=GPL\0depends=\0").is_empty());
        assert!(depends(b"softdepends=x\0").is_empty());
    }

    #[test]
    fn a_modules_name_has_no_dash_and_no_suffix() {
        let name = |path: &str| module_name(Path::new(path));
        assert_eq!(
            name("kernel/a/virtio-pci.ko.xz").as_deref(),
            Some("virtio_pci")
        );
        assert_eq!(name("loop.ko").as_deref(), Some("loop"));
        assert_eq!(name("modules.order"), None);
    }
}
