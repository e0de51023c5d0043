//! Calls that rules about files do not concern, and changes of names where no watched one is.

use std::{
    fs::{self, File},
    net::UdpSocket,
    path::PathBuf,
};

use nix::sys::stat::{Mode, SFlag, mknod};
use tempfile::TempDir;

use crate::{Any, Subject, clock, starts::Starter};

const CALLS: usize = 101;

/// A file that is denied, and with it a name that is watched, in a directory of its own; names in another; two sockets; who starts programs.
pub(crate) struct Scene {
    _folders: [TempDir; 2],
    secret: PathBuf,
    old: PathBuf,
    new: PathBuf,
    sender: UdpSocket,
    receiver: UdpSocket,
    starter: Starter,
}

impl Scene {
    pub(crate) fn new() -> Result<Self, Any> {
        let folders = [tempfile::tempdir()?, tempfile::tempdir()?];
        let [elsewhere, here] = folders.each_ref().map(TempDir::path);
        let (secret, old, new) = (elsewhere.join("secret"), here.join("old"), here.join("new"));
        fs::write(&secret, "")?;
        fs::write(&old, "")?;
        let bind = || UdpSocket::bind("127.0.0.1:0");
        let (sender, receiver) = (bind()?, bind()?);
        sender.connect(receiver.local_addr()?)?;
        Ok(Self {
            _folders: folders,
            secret,
            old,
            new,
            sender,
            receiver,
            starter: Starter::new()?,
        })
    }

    fn send(&self) -> std::io::Result<usize> {
        self.sender.send(b"x")
    }

    fn receive(&self) -> std::io::Result<usize> {
        self.receiver.recv(&mut [0])
    }

    fn remove(&self) -> std::io::Result<()> {
        fs::remove_file(&self.new)
    }
}

pub(crate) fn subjects(scene: &Scene) -> Vec<Subject<'_>> {
    let subject = |row, one| Subject {
        row,
        sections: format!("[deny_path]\n{}\n", scene.secret.display()),
        empty: None,
        one,
    };
    let (old, new) = (&scene.old, &scene.new);
    vec![
        subject(
            "stat, rules about files",
            Box::new(move || clock::median(CALLS, || fs::metadata(old))),
        ),
        subject(
            "getppid, rules about files",
            Box::new(move || clock::median(CALLS, || Ok::<_, Any>(nix::unistd::getppid()))),
        ),
        subject(
            "send, rules about files",
            Box::new(move || clock::between(CALLS, || scene.send(), || scene.receive())),
        ),
        subject(
            "recv, rules about files",
            Box::new(move || {
                scene.send()?;
                let time = clock::between(CALLS, || scene.receive(), || scene.send());
                scene.receive()?;
                time
            }),
        ),
        subject(
            "rename, no watched name",
            Box::new(move || {
                clock::between(CALLS, || fs::rename(old, new), || fs::rename(new, old))
            }),
        ),
        subject(
            "link, no watched name",
            Box::new(move || clock::between(CALLS, || fs::hard_link(old, new), || scene.remove())),
        ),
        subject(
            "create by mknod, no watched name",
            Box::new(move || {
                let make = || mknod(new, SFlag::S_IFREG, Mode::S_IRWXU, 0);
                clock::between(CALLS, make, || scene.remove())
            }),
        ),
        // With the hook of the open in it.
        subject(
            "create, open and close",
            Box::new(move || clock::between(CALLS, || File::create(new), || scene.remove())),
        ),
        subject(
            "spawn, exec and exit, no rule about it",
            Box::new(move || scene.starter.start()),
        ),
    ]
}
