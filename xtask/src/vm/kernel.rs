//! Get a kernel: Debian's newest package of a series, unpacked into the cache, or a file.
//!
//! Nothing is installed on the machine: `apt-get download` verifies the package against the signed lists, `dpkg -x` unpacks it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;

use super::cache;
use super::error::{self, Attempt, Error, Result};

/// What `--kernel` names.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Choice {
    /// The newest Debian cloud kernel of a series such as `6.12`.
    Series(String),
    /// A bzImage.
    File(PathBuf),
}

impl FromStr for Choice {
    type Err = std::convert::Infallible;

    /// Two numbers with a dot between them are a series, everything else is a file.
    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        Ok(match text.split_once('.') {
            Some((major, minor)) if is_number(major) && is_number(minor) => {
                Self::Series(text.to_owned())
            }
            _ => Self::File(PathBuf::from(text)),
        })
    }
}

/// A kernel on the host's disk.
#[derive(Debug)]
pub(crate) struct Kernel {
    pub(crate) image: PathBuf,
    /// As `uname -r` will print it.
    pub(crate) release: String,
    /// `lib/modules/RELEASE`; may be missing if everything is built in.
    pub(crate) modules: PathBuf,
}

impl Kernel {
    /// Finds the kernel, downloading it if the cache has none of its series.
    pub(crate) fn obtain(choice: &Choice, cache: &Path) -> Result<Self> {
        match choice {
            Choice::File(image) => Self::from_file(image),
            Choice::Series(series) => {
                let unpacked = match newest(series, cached(cache)?) {
                    Some(package) => cache.join(package),
                    None => download(series, cache)?,
                };
                Self::from_package(&unpacked)
            }
        }
    }

    fn from_package(unpacked: &Path) -> Result<Self> {
        let boot = unpacked.join("boot");
        let image = fs::read_dir(&boot)
            .attempt("listing", &boot)?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .find(|path| {
                path.file_name()
                    .is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz-"))
            })
            .ok_or(Error::Package {
                what: "boot/vmlinuz-*",
                dir: unpacked.to_owned(),
            })?;
        Self::from_file(&image)
    }

    /// The modules lie where Debian has them: `ROOT/boot/vmlinuz` has `ROOT/lib/modules/RELEASE`.
    fn from_file(image: &Path) -> Result<Self> {
        let image = fs::canonicalize(image).attempt("finding the kernel", image)?;
        let bytes = fs::read(&image).attempt("reading", &image)?;
        let release = release(&bytes).ok_or_else(|| Error::NotAKernel(image.clone()))?;
        let root = image.ancestors().nth(2).unwrap_or(Path::new("/"));
        let modules = root.join("lib/modules").join(&release);
        Ok(Self {
            image,
            release,
            modules,
        })
    }
}

/// The release out of the boot protocol's header: magic at 0x202, and at 0x20e where the version string is, less 0x200.
fn release(image: &[u8]) -> Option<String> {
    if image.get(0x202..0x206)? != b"HdrS" {
        return None;
    }
    let start = 0x200
        + usize::from(u16::from_le_bytes(
            image.get(0x20e..0x210)?.try_into().ok()?,
        ));
    let text = image.get(start..)?.split(|&byte| byte == 0).next()?;
    let text = std::str::from_utf8(text).ok()?;
    Some(text.split_whitespace().next()?.to_owned())
}

fn cached(cache: &Path) -> Result<Vec<String>> {
    Ok(fs::read_dir(cache)
        .attempt("listing", cache)?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect())
}

/// The newest package of a series among names of packages; numbers in names are compared as numbers.
fn newest(series: &str, names: impl IntoIterator<Item = String>) -> Option<String> {
    let prefix = format!("linux-image-{series}.");
    names
        .into_iter()
        .filter(|name| name.starts_with(&prefix) && name.ends_with("-cloud-amd64-unsigned"))
        .max_by_key(|name| {
            name.split(|c: char| !c.is_ascii_digit())
                .filter_map(|part| part.parse::<u64>().ok())
                .collect::<Vec<_>>()
        })
}

fn download(series: &str, cache: &Path) -> Result<PathBuf> {
    let listing = error::output(
        Command::new(error::tool("apt-cache", "apt")?)
            .args(["search", "--names-only"])
            .arg(format!(
                r"^linux-image-{}\..*-cloud-amd64-unsigned$",
                series.replace('.', r"\.")
            )),
    )?;
    let names = String::from_utf8_lossy(&listing.stdout)
        .lines()
        .filter_map(|line| Some(line.split_whitespace().next()?.to_owned()))
        .collect::<Vec<_>>();
    let package = newest(series, names).ok_or_else(|| Error::NoKernelPackage {
        series: series.to_owned(),
    })?;

    eprintln!("vm: downloading {package}");
    // Beside its final place, so that the last step is one rename: two runners at once do not see each other's half.
    let scratch = cache::scratch(cache)?;
    error::output(
        Command::new(error::tool("apt-get", "apt")?)
            // The sandbox user could not write into a private directory; signatures are checked either way.
            .args(["-qq", "-o", "APT::Sandbox::User=root", "download", &package])
            .current_dir(scratch.path()),
    )?;
    let archive = fs::read_dir(scratch.path())
        .attempt("listing", scratch.path())?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .ok_or(Error::Package {
            what: "downloaded package",
            dir: scratch.path().to_owned(),
        })?;
    let unpacked = scratch.path().join("unpacked");
    error::output(
        Command::new(error::tool("dpkg", "dpkg")?)
            .arg("-x")
            .args([&archive, &unpacked]),
    )?;
    let place = cache.join(&package);
    match fs::rename(&unpacked, &place) {
        Err(_) if place.is_dir() => {} // another runner was faster
        result => result.attempt("moving the unpacked kernel to", &place)?,
    }
    Ok(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_numbers_are_a_series_and_all_else_a_file() {
        let parse = |text: &str| text.parse::<Choice>().unwrap();
        assert_eq!(parse("6.12"), Choice::Series("6.12".into()));
        for file in ["bzImage", "6.12.3", "/boot/vmlinuz-6.1", "6."] {
            assert_eq!(parse(file), Choice::File(file.into()));
        }
    }

    #[test]
    fn the_newest_package_is_by_number_and_of_its_own_series() {
        let names = [
            "linux-image-6.1.0-9-cloud-amd64-unsigned",
            "linux-image-6.1.0-56-cloud-amd64-unsigned",
            "linux-image-6.1.0-57-amd64-unsigned",
            "linux-image-6.12.117+deb12-cloud-amd64-unsigned",
            "linux-image-6.12.99+deb12-cloud-amd64-unsigned",
        ];
        let newest = |series| newest(series, names.map(str::to_owned));
        assert_eq!(newest("6.1").as_deref(), Some(names[1]));
        assert_eq!(newest("6.12").as_deref(), Some(names[3]));
        assert_eq!(newest("6.6"), None);
    }

    #[test]
    fn the_release_comes_from_the_boot_header() {
        let mut image = vec![0; 0x400];
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x20e..0x210].copy_from_slice(&0x100u16.to_le_bytes());
        image[0x300..0x310].copy_from_slice(b"6.1.0-56 (build)");
        assert_eq!(release(&image).as_deref(), Some("6.1.0-56"));
        image[0x202] = 0;
        assert_eq!(release(&image), None);
    }
}
