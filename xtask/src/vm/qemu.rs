//! One run of QEMU: its arguments, its output as it comes, its end.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::error::{self, Attempt, Result};
use super::guest;

const RESULT_BYTES: u64 = 4 << 10;

/// How the machine is made.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    pub(crate) smp: u32,
    pub(crate) memory_mib: u32,
    pub(crate) disk_mib: u32,
    /// Virtual time counts instructions: 1 instruction = 1 ns of the guest's TSC.
    pub(crate) icount: bool,
    pub(crate) lsm: Option<String>,
    pub(crate) append: Vec<String>,
    pub(crate) timeout: Duration,
    /// What the ext4 disk holds at the start, instead of nothing. It is not changed.
    pub(crate) image: Option<PathBuf>,
    /// The kernel tells all on its console, which takes it a second or two.
    pub(crate) is_verbose: bool,
    /// Each line of the guest begins with the seconds since the start.
    pub(crate) has_times: bool,
}

/// How a run ended.
#[derive(Debug, PartialEq)]
pub(crate) enum Outcome {
    /// The command's exit code.
    Exited(u8),
    /// The command ran, and was ended by the clock.
    TimedOut,
    /// The guest did not say how it went; nothing is known about the command.
    NoResult { why: String, console: String },
}

/// The files of one run.
struct Files {
    result: PathBuf,
    ext4: PathBuf,
    console: PathBuf,
}

impl Machine {
    /// Boots, streams what the command writes to our stdout, and waits for the machine's end.
    pub(crate) fn boot(&self, kernel: &Path, initramfs: &Path, scratch: &Path) -> Result<Outcome> {
        let files = Files {
            result: scratch.join("result"),
            ext4: scratch.join("ext4"),
            console: scratch.join("console"),
        };
        self.make_disks(&files)?;
        let qemu = error::tool("qemu-system-x86_64", "qemu-system-x86")?;
        // The kernel ends QEMU if we are killed; a virtual machine must not outlive who waits for it.
        let mut child = Command::new(error::tool("setpriv", "util-linux")?)
            .args(["--pdeathsig", "KILL"])
            .arg(&qemu)
            .args(self.arguments(kernel, initramfs, &files))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .attempt("starting", &qemu)?;
        let stdout = child.stdout.take();
        let times = self.has_times.then(Times::from_now);
        let stream = thread::spawn(move || stdout.map(|from| stream(from, io::stdout(), times)));
        let in_time = wait(&mut child, self.timeout).attempt("waiting for", &qemu)?;
        // The pipe is closed by now, so this ends; a closed stdout of ours is no reason to fail.
        let _ = stream.join();
        outcome(&files, in_time, self.timeout)
    }

    fn make_disks(&self, files: &Files) -> Result<()> {
        fs::write(&files.result, []).attempt("making", &files.result)?;
        for (file, bytes) in [
            (&files.result, RESULT_BYTES),
            (&files.ext4, u64::from(self.disk_mib) << 20),
        ] {
            fs::File::create(file)
                .and_then(|disk| disk.set_len(bytes))
                .attempt("making", file)?;
        }
        let mke2fs = error::tool("mke2fs", "e2fsprogs")?;
        error::output(
            Command::new(mke2fs)
                .args(["-q", "-F", "-t", "ext4"])
                .arg(&files.ext4),
        )?;
        Ok(())
    }

    fn arguments(&self, kernel: &Path, initramfs: &Path, files: &Files) -> Vec<String> {
        let disk = |file: &Path, id: &str, snapshot: &str| {
            [
                "-drive".to_owned(),
                // A comma is QEMU's separator, and is doubled to stand for itself.
                format!(
                    "if=none,id={id},format=raw,cache=unsafe,snapshot={snapshot},file={}",
                    file.display().to_string().replace(',', ",,")
                ),
                "-device".to_owned(),
                format!("virtio-blk-pci,drive={id}"),
            ]
        };
        let mut arguments = Vec::new();
        let mut add = |words: &[&str]| arguments.extend(words.iter().map(|&word| word.to_owned()));
        add(&[
            "-nodefaults",
            "-no-user-config",
            "-display",
            "none",
            "-no-reboot",
        ]);
        add(&["-cpu", self.cpu(), "-m", &format!("{}M", self.memory_mib)]);
        add(&["-smp", &self.smp.to_string()]);
        if self.icount {
            add(&[
                "-accel",
                "tcg,thread=single",
                "-icount",
                "shift=0,sleep=off",
            ]);
        } else {
            add(&["-accel", "tcg"]);
        }
        add(&["-serial", &format!("file:{}", files.console.display())]);
        add(&["-chardev", "stdio,id=out,signal=off"]);
        add(&[
            "-device",
            "virtio-serial-pci",
            "-device",
            "virtconsole,chardev=out",
        ]);
        arguments.extend(disk(&files.result, "result", "off"));
        match &self.image {
            // What the guest writes goes to a temporary file of QEMU's.
            Some(image) => arguments.extend(disk(image, "ext4", "on")),
            None => arguments.extend(disk(&files.ext4, "ext4", "off")),
        }
        for (flag, value) in [
            ("-kernel", kernel.display().to_string()),
            ("-initrd", initramfs.display().to_string()),
            ("-append", self.command_line()),
        ] {
            arguments.extend([flag.to_owned(), value]);
        }
        arguments
    }

    /// All that QEMU can do. Where nothing is counted, without what makes the kernel copy and clear memory by `rep movsb`, of
    /// which each byte costs as much as a word would.
    fn cpu(&self) -> &'static str {
        if self.icount { "max" } else { "max,-erms" }
    }

    fn command_line(&self) -> String {
        let level = if self.is_verbose {
            "loglevel=7"
        } else {
            "quiet"
        };
        // The kernel's self-tests of its ciphers take half of an emulated CPU for many seconds after the boot of 6.12.
        let mut words = vec![format!(
            "console=ttyS0 {level} panic=-1 cryptomgr.notests=1"
        )];
        if self.icount {
            // Else the kernel tests the TSC against clocks that stand still, and gives it up.
            words.push("clocksource=tsc tsc=reliable".into());
        }
        words.extend(self.lsm.iter().map(|list| format!("lsm={list}")));
        words.extend(self.append.iter().cloned());
        words.join(" ")
    }
}

/// Copies as it comes; `io::copy` would hold back what has no newline yet.
fn stream(mut from: impl Read, mut to: impl Write, mut times: Option<Times>) {
    let mut buffer = [0; 8 << 10];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        let text = &buffer[..length];
        let written = match &mut times {
            Some(times) => times.write(text, &mut to),
            None => to.write_all(text),
        };
        // Goes on reading when nobody listens any more: a full pipe would stop the guest.
        let _ = written.and_then(|()| to.flush());
    }
}

/// Says when each line began: of a test that is when the test did, since its name comes first.
struct Times {
    start: Instant,
    in_line: bool,
}

impl Times {
    fn from_now() -> Self {
        Self {
            start: Instant::now(),
            in_line: false,
        }
    }

    fn write(&mut self, text: &[u8], to: &mut impl Write) -> io::Result<()> {
        for line in text.split_inclusive(|&byte| byte == b'\n') {
            if !self.in_line {
                write!(to, "{:7.1} ", self.start.elapsed().as_secs_f64())?;
            }
            self.in_line = !line.ends_with(b"\n");
            to.write_all(line)?;
        }
        Ok(())
    }
}

/// Whether the child ended by itself in time; it is killed otherwise.
fn wait(child: &mut Child, timeout: Duration) -> io::Result<bool> {
    let start = Instant::now();
    while child.try_wait()?.is_none() {
        if start.elapsed() > timeout {
            child.kill()?;
            child.wait()?;
            return Ok(false);
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(true)
}

fn outcome(files: &Files, in_time: bool, timeout: Duration) -> Result<Outcome> {
    let result = fs::read(&files.result).attempt("reading", &files.result)?;
    let why = match (parse(&result), in_time) {
        (Record::Ended(code), _) => return Ok(Outcome::Exited(code)),
        (Record::Started, false) => return Ok(Outcome::TimedOut),
        (Record::Started, true) => "it ended while the command ran".to_owned(),
        (Record::Nothing, true) => "it ended before the command was started".to_owned(),
        (Record::Nothing, false) => {
            format!(
                "it did not come to start the command in {} s",
                timeout.as_secs()
            )
        }
    };
    let console = fs::read(&files.console).unwrap_or_default();
    let console = String::from_utf8_lossy(&console);
    let lines: Vec<_> = console.lines().map(str::trim_end).collect();
    let console = lines[lines.len().saturating_sub(40)..].join("\n");
    Ok(Outcome::NoResult { why, console })
}

#[derive(Debug, PartialEq)]
enum Record {
    Nothing,
    Started,
    Ended(u8),
}

fn parse(disk: &[u8]) -> Record {
    let line = disk.split(|&byte| byte == b'\n' || byte == 0).next();
    let line = String::from_utf8_lossy(line.unwrap_or_default());
    let mut words = line.split(' ');
    match (words.next(), words.next().map(str::parse)) {
        (Some(guest::STARTED), None) => Record::Started,
        (Some(guest::ENDED), Some(Ok(code))) => Record::Ended(code),
        _ => Record::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> Machine {
        Machine {
            smp: 1,
            memory_mib: 1_024,
            disk_mib: 16,
            icount: false,
            image: None,
            is_verbose: false,
            has_times: false,
            lsm: None,
            append: Vec::new(),
            timeout: Duration::from_secs(1),
        }
    }

    fn arguments(machine: &Machine) -> String {
        let files = Files {
            result: "/r,1".into(),
            ext4: "/e".into(),
            console: "/c".into(),
        };
        machine
            .arguments(Path::new("/k"), Path::new("/i"), &files)
            .join(" ")
    }

    #[test]
    fn the_result_disk_comes_first_and_its_comma_is_doubled() {
        let line = arguments(&machine());
        assert!(line.find("file=/r,,1").unwrap() < line.find("file=/e").unwrap());
        assert!(line.contains("-accel tcg -serial"));
        assert!(!line.contains("icount"));
        assert!(line.contains("-cpu max,-erms "));
    }

    #[test]
    fn icount_is_one_thread_and_a_trusted_tsc() {
        let line = arguments(&Machine {
            icount: true,
            ..machine()
        });
        assert!(line.contains("-accel tcg,thread=single -icount shift=0,sleep=off"));
        assert!(line.contains("clocksource=tsc tsc=reliable"));
        assert!(line.contains("cryptomgr.notests=1"));
        assert!(
            line.contains("-cpu max -m"),
            "figures of before would not do"
        );
    }

    #[test]
    fn lsm_and_append_end_the_command_line() {
        let machine = Machine {
            lsm: Some("lockdown,yama".into()),
            append: vec!["a=1".into(), "b".into()],
            ..machine()
        };
        assert!(machine.command_line().ends_with("lsm=lockdown,yama a=1 b"));
    }

    /// Gives what it holds one byte at a time.
    struct Drops<'a>(&'a [u8]);

    impl Read for Drops<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let length = buffer.len().min(1);
            self.0.read(&mut buffer[..length])
        }
    }

    #[test]
    fn each_line_is_timed_once_however_it_comes() {
        let text = "test a ... ok\n\ntest b ... ";
        let streamed = |from: &mut dyn Read, times| {
            let mut to = Vec::new();
            stream(from, &mut to, times);
            String::from_utf8(to).unwrap()
        };
        assert_eq!(streamed(&mut text.as_bytes(), None), text);
        let (mut whole, mut drops) = (text.as_bytes(), Drops(text.as_bytes()));
        for from in [&mut whole as &mut dyn Read, &mut drops] {
            let timed = streamed(from, Some(Times::from_now()));
            let (times, lines): (Vec<_>, Vec<_>) =
                timed.lines().map(|line| line.split_at(8)).unzip();
            assert_eq!(lines, text.lines().collect::<Vec<_>>());
            assert!(times.iter().all(|time| time.trim().parse::<f64>().is_ok()));
        }
    }

    #[test]
    fn only_a_whole_record_is_a_result() {
        assert_eq!(parse(b"ended 3\n\0\0"), Record::Ended(3));
        assert_eq!(parse(b"started\n\0\0"), Record::Started);
        for torn in [&b"\0\0"[..], b"ended \n", b"ended 300\n", b""] {
            assert_eq!(parse(torn), Record::Nothing, "{torn:?}");
        }
    }
}
