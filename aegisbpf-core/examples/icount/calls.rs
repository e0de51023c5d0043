//! Calls that rules about files do not concern, and changes of names where no watched one is.

use std::{
    fs::{self, File},
    net::UdpSocket,
    process::Command,
};

use aegisbpf_core::Enforcer;
use nix::sys::stat::{Mode, SFlag, mknod};

use crate::{Any, Row, clock};

const CALLS: usize = 101;
const STARTS: usize = 21;

/// A file that is denied, and with it a name that is watched; in a directory of its own.
fn rules(secret: &std::path::Path) -> String {
    format!("[deny_path]\n{}\n", secret.display())
}

pub(crate) fn measure(aegis: &mut Enforcer) -> Result<(), Any> {
    let (elsewhere, here) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let secret = elsewhere.path().join("secret");
    fs::write(&secret, "")?;
    let rules = rules(&secret);
    let [old, new] = ["old", "new"].map(|name| here.path().join(name));
    fs::write(&old, "")?;
    let (a, b) = (
        UdpSocket::bind("127.0.0.1:0")?,
        UdpSocket::bind("127.0.0.1:0")?,
    );
    a.connect(b.local_addr()?)?;
    let mut with_and_without = |row, one: &dyn Fn() -> Result<f64, Any>| {
        let (base, with) = clock::least(aegis, &rules, one)?;
        Row::new(row, base, None, with).print()
    };
    let (send, recv) = (|| a.send(b"x"), || b.recv(&mut [0]));
    let (rename, back) = (|| fs::rename(&old, &new), || fs::rename(&new, &old));
    let remove = || fs::remove_file(&new);
    with_and_without("stat, rules about files", &|| {
        clock::median(CALLS, || fs::metadata(&old))
    })?;
    with_and_without("getppid, rules about files", &|| {
        clock::median(CALLS, || Ok::<_, Any>(nix::unistd::getppid()))
    })?;
    with_and_without("send, rules about files", &|| {
        clock::between(CALLS, send, recv)
    })?;
    with_and_without("recv, rules about files", &|| {
        a.send(b"x")?;
        let time = clock::between(CALLS, recv, send);
        b.recv(&mut [0])?;
        time
    })?;
    with_and_without("rename, no watched name", &|| {
        clock::between(CALLS, rename, back)
    })?;
    with_and_without("link, no watched name", &|| {
        clock::between(CALLS, || fs::hard_link(&old, &new), remove)
    })?;
    with_and_without("create by mknod, no watched name", &|| {
        clock::between(
            CALLS,
            || mknod(&new, SFlag::S_IFREG, Mode::S_IRWXU, 0),
            remove,
        )
    })?;
    // With the hook of the open in it.
    with_and_without("create, open and close", &|| {
        clock::between(CALLS, || File::create(&new), remove)
    })?;
    with_and_without("spawn, exec and exit, no rule about it", &|| {
        clock::median(STARTS, || Command::new("/bin/true").status())
    })
}
