//! A root file system on ext4, made of packages that this machine has installed: for real servers in the guest.
//!
//! An initramfs holds what a test brings; a database or a compiler with all its libraries is too much for it. The image
//! is kept in the cache under the names and versions of its packages, and no run changes it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::cache;
use super::error::{self, Attempt, Error, Result};

/// Whatever else is wanted: a shell, its tools, and what Rust programs link.
const ALWAYS: [&str; 11] = [
    "base-files",
    "bash",
    "busybox-static",
    "coreutils",
    "dash",
    "grep",
    "libc-bin",
    "libc6",
    "libgcc-s1",
    "tar",
    "util-linux",
];
/// Free space on the image, for what the tests write.
const FREE_MIB: u64 = 1_024;
/// Directories without content of their own.
const EMPTY: [&str; 8] = ["dev", "proc", "sys", "run", "tmp", "root", "var/tmp", "mnt"];

/// The image of these packages and all that they depend on: from the cache, or made now.
pub(crate) fn obtain(packages: &[String], cache: &Path) -> Result<PathBuf> {
    let installed = installed()?;
    let wanted = ALWAYS
        .iter()
        .map(|name| (*name).to_owned())
        .chain(packages.iter().cloned());
    let closure = closure(&installed, wanted)?;
    let names: Vec<String> = closure
        .iter()
        .map(|name| format!("{name}={}", installed[name].version))
        .collect();
    let images = cache.join("images");
    fs::create_dir_all(&images).attempt("making", &images)?;
    let image = images.join(format!("{:016x}.ext4", hash(&names)));
    if image.is_file() {
        return Ok(image);
    }
    eprintln!("vm: making an image of {} packages", closure.len());
    let scratch = cache::scratch(cache)?;
    let root = scratch.path().join("root");
    let bytes = lay_out(&closure, &root)?;
    let partly = scratch.path().join("image");
    let mebibytes = (bytes >> 20) * 5 / 4 + FREE_MIB;
    error::output(
        Command::new(error::tool("mke2fs", "e2fsprogs")?)
            .args(["-q", "-F", "-t", "ext4", "-O", "^has_journal", "-d"])
            .arg(&root)
            .arg(&partly)
            .arg(format!("{mebibytes}M")),
    )?;
    fs::rename(&partly, &image).attempt("keeping", &image)?;
    Ok(image)
}

/// What we need to know of an installed package.
struct Package {
    version: String,
    /// Each a list of alternatives.
    depends: Vec<Vec<String>>,
    provides: Vec<String>,
}

fn installed() -> Result<BTreeMap<String, Package>> {
    let format =
        "${db:Status-Status}\t${Package}\t${Version}\t${Pre-Depends}, ${Depends}\t${Provides}\n";
    let output = error::output(
        Command::new(error::tool("dpkg-query", "dpkg")?)
            .args(["--show", &format!("--showformat={format}")]),
    )?;
    Ok(parse(&String::from_utf8_lossy(&output.stdout)))
}

fn parse(listing: &str) -> BTreeMap<String, Package> {
    // "libc6:any (>= 2.36)" → "libc6"
    let name = |text: &str| {
        text.trim()
            .split([' ', ':', '('])
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    let mut packages = BTreeMap::new();
    for line in listing.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let ["installed", package, version, depends, provides] = fields[..] else {
            continue;
        };
        let alternatives = |text: &str| {
            text.split('|')
                .map(name)
                .filter(|name| !name.is_empty())
                .collect()
        };
        let depends = depends
            .split(',')
            .map(alternatives)
            .filter(|names: &Vec<_>| !names.is_empty());
        let package_info = Package {
            version: version.to_owned(),
            depends: depends.collect(),
            provides: provides
                .split(',')
                .map(name)
                .filter(|name| !name.is_empty())
                .collect(),
        };
        packages.insert(package.to_owned(), package_info);
    }
    packages
}

/// The packages, and whichever alternative of each dependency is installed.
fn closure(
    installed: &BTreeMap<String, Package>,
    wanted: impl Iterator<Item = String>,
) -> Result<BTreeSet<String>> {
    let mut providers: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, package) in installed {
        for provided in &package.provides {
            providers.entry(provided).or_insert(name);
        }
    }
    let find = |name: &str| {
        let own = installed.contains_key(name).then(|| name.to_owned());
        own.or_else(|| providers.get(name).map(|&name| name.to_owned()))
    };
    let mut found = BTreeSet::new();
    let mut queue = VecDeque::new();
    for name in wanted {
        let package = find(&name).ok_or(Error::NotInstalled { package: name })?;
        queue.push_back(package);
    }
    while let Some(name) = queue.pop_front() {
        if !found.insert(name.clone()) {
            continue;
        }
        for alternatives in &installed[&name].depends {
            // One that is missing was forced away by whoever runs this machine; the package works without it or not.
            queue.extend(alternatives.iter().find_map(|name| find(name)));
        }
    }
    Ok(found)
}

/// Copies the packages' files, and tells their size.
fn lay_out(packages: &BTreeSet<String>, root: &Path) -> Result<u64> {
    for directory in ["usr/bin", "usr/sbin", "usr/lib", "usr/lib64"]
        .iter()
        .chain(&EMPTY)
    {
        let directory = root.join(directory);
        fs::create_dir_all(&directory).attempt("making", &directory)?;
    }
    for name in ["bin", "sbin", "lib", "lib64"] {
        let link = root.join(name);
        symlink(Path::new("usr").join(name), &link).attempt("linking", &link)?;
    }
    let mut files = BTreeSet::new();
    for package in packages {
        let listing = error::output(Command::new("dpkg").args(["--listfiles", package]))?;
        let listing = String::from_utf8_lossy(&listing.stdout).into_owned();
        files.extend(listing.lines().filter_map(kept));
    }
    // Links that no package lists but its scripts made: alternatives, and the loader's cache.
    files.extend(["/etc/alternatives", "/etc/ld.so.cache", "/etc/ld.so.conf.d"].map(PathBuf::from));
    let list = root.with_extension("files");
    let names: Vec<String> = files
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    fs::write(&list, names.join("\n")).attempt("writing", &list)?;
    // tar, since it keeps links, owners and modes, and merges what comes by /lib and by /usr/lib.
    let script =
        r#"tar -C / --no-recursion -cf - -T "$1" | tar -C "$2" --keep-directory-symlink -xpf -"#;
    error::output(
        Command::new("sh")
            .args(["-c", script, "sh"])
            .arg(&list)
            .arg(root),
    )?;
    let size = error::output(
        Command::new("du")
            .args(["--summarize", "--block-size=1"])
            .arg(root),
    )?;
    let size = String::from_utf8_lossy(&size.stdout).into_owned();
    Ok(size
        .split_whitespace()
        .next()
        .and_then(|word| word.parse().ok())
        .unwrap_or(1 << 30))
}

/// A file of a package, if it is there and anybody needs it in the guest: manuals are not read there.
fn kept(line: &str) -> Option<PathBuf> {
    let path = Path::new(line);
    let left_out = [
        "/usr/share/doc",
        "/usr/share/man",
        "/usr/share/locale",
        "/usr/share/info",
        "/boot",
    ];
    if left_out.iter().any(|directory| path.starts_with(directory)) {
        return None;
    }
    let metadata = fs::symlink_metadata(path).ok()?;
    // A directory is made by what it holds; as an entry it would take the place of a link to it.
    (!metadata.is_dir()).then(|| path.to_owned())
}

/// FNV-1a: names a file, no more.
fn hash(names: &[String]) -> u64 {
    let bytes = names.iter().flat_map(|name| name.bytes().chain([b'\n']));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTING: &str = "installed\ta\t1\t, b (>= 2), c | d:any\t\ninstalled\tb\t2\t, \t\ninstalled\td\t1\t, virtual\t\n\
        installed\te\t1\t, \tvirtual (= 1)\nnot-installed\tc\t\t, \t\n";

    #[test]
    fn dependencies_are_followed_through_alternatives_and_provided_names() {
        let installed = parse(LISTING);
        let found = closure(&installed, ["a".to_owned()].into_iter()).unwrap();
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["a", "b", "d", "e"]);
    }

    #[test]
    fn a_package_that_is_not_installed_is_named_with_its_remedy() {
        let error = closure(&parse(LISTING), ["c".to_owned()].into_iter()).unwrap_err();
        assert!(error.to_string().contains("apt-get install c"), "{error}");
    }
}
