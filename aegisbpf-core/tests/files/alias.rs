//! Whatever a denied file is called, and by whatever call it is opened: the rule is about the file.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use nix::{
    errno::Errno,
    mount::{MntFlags, MsFlags, mount, umount2},
};

use super::{
    actor::{act, allowed, refused},
    scene::{Scene, Stage},
};

/// Other names and other calls for a file, each of which opens one that is not denied.
const ALIASES: [&str; 17] = [
    "open",
    "openat2",
    "write",
    "read and write",
    "open or create",
    "reopen",
    "descriptor's name",
    "directory's descriptor",
    "own root",
    "another's root",
    "chroot",
    "own mounts",
    "own users and mounts",
    "io_uring",
    "io_uring worker",
    "io_uring poller",
    "open by handle",
];

/// Names that have to be made first.
const MOUNTED: [&str; 2] = ["bind mount of it", "bind mount of its directory"];

pub(crate) fn a_rule_holds_by_whatever_name_and_call(stage: &mut Stage) {
    for directory in super::file_systems() {
        let scene = Scene::below(&directory);
        let (secret, plain) = (scene.secret(), scene.plain());
        let links = [
            Links::of(&scene, &secret, "secret"),
            Links::of(&scene, &plain, "plain"),
        ];
        let (at_file, at_directory) = (scene.path("at file"), scene.path("at directory"));
        fs::write(&at_file, "").unwrap();
        fs::create_dir(&at_directory).unwrap();
        stage.enforce(&scene.deny(&[&secret]));
        for what in ALIASES {
            match act(what, &[&plain]) {
                // Overlays hand out no handles unless they are told to.
                Err(Errno::EOPNOTSUPP) if what == "open by handle" => continue,
                outcome => assert_eq!(outcome, Ok(()), "{what} on {}", directory.display()),
            }
            refused(what, &[&secret]);
        }
        for (what, at) in MOUNTED.into_iter().zip([&at_file, &at_directory]) {
            allowed(what, &[&plain, at]);
            refused(what, &[&secret, at]);
        }
        for link in links[1].all() {
            allowed("open", &[link]);
        }
        for link in links[0].all() {
            refused("open", &[link]);
        }
        assert_eq!(
            fs::read_to_string(&secret).unwrap(),
            "secret\n",
            "untouched"
        );
    }
}

/// Links that are older than the rule.
struct Links([PathBuf; 4]);

impl Links {
    fn of(scene: &Scene, target: &Path, name: &str) -> Self {
        let path = |kind: &str| scene.path(&format!("{kind} to {name}"));
        let links = [
            "hard link",
            "symbolic link",
            "link to a link",
            "link to a hard link",
        ]
        .map(path);
        fs::hard_link(target, &links[0]).unwrap();
        symlink(target, &links[1]).unwrap();
        symlink(&links[1], &links[2]).unwrap();
        symlink(&links[0], &links[3]).unwrap();
        Self(links)
    }

    fn all(&self) -> impl Iterator<Item = &PathBuf> {
        self.0.iter()
    }
}

/// A program of 32 bits that opens its first argument and ends with the error number: an ELF header, one segment, code.
pub(crate) const OPENS_IN_32_BITS: [u8; 112] = {
    const HEADER: [u8; 84] = [
        // \x7fELF, 32 bits, little endian, version 1.
        0x7f, b'E', b'L', b'F', 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, //
        2, 0, 3, 0, 1, 0, 0, 0, // an executable, for the 386
        0x54, 0x80, 0x04, 0x08, // which starts behind the headers
        0x34, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, // segments from 0x34 on, no sections, no flags
        0x34, 0, 0x20, 0, 1, 0, 0, 0, 0, 0, 0, 0, // sizes, one segment
        1, 0, 0, 0, 0, 0, 0, 0, // to be loaded, from the start of the file
        0, 0x80, 0x04, 0x08, 0, 0x80, 0x04, 0x08, // to here
        112, 0, 0, 0, 112, 0, 0, 0, // all of it
        5, 0, 0, 0, 0, 0x10, 0, 0, // to be read and executed
    ];
    const CODE: [u8; 28] = [
        0x58, 0x5b, 0x5b, // pop %eax (argc); pop %ebx (argv[0]); pop %ebx (argv[1])
        0x31, 0xc9, // xor %ecx,%ecx: O_RDONLY
        0xb8, 5, 0, 0, 0, // mov $5,%eax: open
        0xcd, 0x80, // int $0x80
        0x31, 0xdb, // xor %ebx,%ebx
        0x85, 0xc0, // test %eax,%eax
        0x79, 0x02, // jns: opened
        0x29, 0xc3, // sub %eax,%ebx: the error number
        0xb8, 1, 0, 0, 0, // mov $1,%eax: exit
        0xcd, 0x80, // int $0x80
        0x90,
    ];
    let mut program = [0; 112];
    let mut at = 0;
    while at < 112 {
        program[at] = if at < 84 { HEADER[at] } else { CODE[at - 84] };
        at += 1;
    }
    program
};

pub(crate) fn a_program_of_32_bits_is_refused(stage: &mut Stage) {
    let scene = Scene::new();
    let (secret, program) = (scene.secret(), scene.path("program"));
    fs::write(&program, OPENS_IN_32_BITS).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    stage.enforce(&scene.deny(&[&secret]));
    let opens = |path: &Path| Command::new(&program).arg(path).status().unwrap().code();
    assert_eq!(opens(&scene.plain()), Some(0));
    assert_eq!(opens(&scene.path("nothing")), Some(Errno::ENOENT as i32));
    assert_eq!(opens(&secret), Some(Errno::EPERM as i32));
}

/// An overlay of its own, with a file in its lower layer.
struct Overlay(Scene);

impl Overlay {
    fn mount() -> Self {
        let scene = Scene::new();
        for part in ["lower", "upper", "work", "merged"] {
            fs::create_dir(scene.path(part)).unwrap();
        }
        for name in ["secret", "plain"] {
            fs::write(scene.path("lower").join(name), format!("{name}\n")).unwrap();
        }
        let at = |part: &str| scene.path(part).display().to_string();
        let options = format!(
            "lowerdir={},upperdir={},workdir={}",
            at("lower"),
            at("upper"),
            at("work")
        );
        mount(
            Some("overlay"),
            &scene.path("merged"),
            Some("overlay"),
            MsFlags::empty(),
            Some(&*options),
        )
        .unwrap();
        Self(scene)
    }

    fn file(&self, part: &str) -> PathBuf {
        self.0.path(part).join("secret")
    }

    /// What somebody else may open of the three: merged, lower and upper.
    fn opened(&self) -> [Result<(), Errno>; 3] {
        ["merged", "lower", "upper"].map(|part| act("open", &[&self.file(part)]))
    }

    /// Who writes to the merged file has it copied up.
    fn copy_up(&self) {
        fs::OpenOptions::new()
            .append(true)
            .open(self.file("merged"))
            .unwrap();
        assert!(self.file("upper").exists());
    }
}

impl Drop for Overlay {
    fn drop(&mut self) {
        let _ = umount2(&self.0.path("merged"), MntFlags::MNT_DETACH);
    }
}

const REFUSED: Result<(), Errno> = Err(Errno::EPERM);
const ABSENT: Result<(), Errno> = Err(Errno::ENOENT);

/// A rule knows one of an overlay's files. With a rule for each place, there is no way in, neither before the file
/// is copied up nor after.
pub(crate) fn an_overlay_s_layers_are_files_of_their_own(stage: &mut Stage) {
    if std::env::var_os("AEGIS_IN_VM").is_none() {
        return; // it mounts, for all to see
    }
    let overlay = Overlay::mount();
    let scene = &overlay.0;
    let [merged, lower, upper] = ["merged", "lower", "upper"].map(|part| overlay.file(part));
    stage.enforce(&scene.deny(&[&merged, &lower, &upper]));
    assert_eq!(overlay.opened(), [REFUSED, REFUSED, ABSENT]);
    refused("write", &[&merged]);
    overlay.copy_up();
    assert_eq!(overlay.opened(), [REFUSED, REFUSED, REFUSED]);
    allowed("open", &[&scene.path("merged").join("plain")]);
    drop(overlay);

    // What one rule alone does, on an overlay that has seen no other.
    let overlay = Overlay::mount();
    stage.enforce(&overlay.0.deny(&[&overlay.file("merged")]));
    assert_eq!(overlay.opened(), [REFUSED, Ok(()), ABSENT]);
    overlay.copy_up();
    assert_eq!(overlay.opened(), [REFUSED, Ok(()), Ok(())]);
    drop(overlay);

    let overlay = Overlay::mount();
    stage.enforce(&overlay.0.deny(&[&overlay.file("lower")]));
    assert_eq!(overlay.opened(), [REFUSED, REFUSED, ABSENT]);
    overlay.copy_up();
    assert_eq!(overlay.opened(), [Ok(()), REFUSED, Ok(())]);
}
