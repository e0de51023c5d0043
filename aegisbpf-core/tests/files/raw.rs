//! System calls that no safe wrapper of ours has.
#![expect(unsafe_code, reason = "the calls have no safe wrapper")]

use std::{
    ffi::CString,
    fs::File,
    io,
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
    sync::atomic::AtomicU64,
};

use io_uring::{IoUring, cqueue, opcode, squeue, types};
use nix::libc;

fn c(path: &Path) -> io::Result<CString> {
    Ok(CString::new(path.as_os_str().as_bytes())?)
}

fn check(answer: libc::c_long) -> io::Result<libc::c_long> {
    if answer < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(answer)
    }
}

pub(crate) fn setxattr(path: &Path) -> io::Result<()> {
    let path = c(path)?;
    // SAFETY: both strings end with a NUL and outlive the call; the value has the length that is given.
    let answer = unsafe {
        libc::setxattr(
            path.as_ptr(),
            c"trusted.aegis".as_ptr(),
            b"1".as_ptr().cast(),
            1,
            0,
        )
    };
    check(answer.into()).map(drop)
}

pub(crate) fn mmap(file: &File) -> io::Result<()> {
    // SAFETY: a new mapping where the kernel likes, which nobody touches.
    let at = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            1,
            libc::PROT_READ,
            libc::MAP_PRIVATE,
            file.as_raw_fd(),
            0,
        )
    };
    if at == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// A number in a file of eight bytes, which all who open it share.
pub(crate) fn shared_number(path: &Path) -> io::Result<&'static AtomicU64> {
    let file = File::options().read(true).write(true).open(path)?;
    // SAFETY: a new mapping where the kernel likes, which stays for as long as the process runs.
    let at = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            size_of::<AtomicU64>(),
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED,
            file.as_raw_fd(),
            0,
        )
    };
    if at == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it begins with a page, is never unmapped, and whoever else has it uses it as a number as well.
    Ok(unsafe { AtomicU64::from_ptr(at.cast()) })
}

/// Moves what an open file holds into a pipe, by splice(2) or by sendfile(2).
pub(crate) fn move_to_pipe(file: &File, by_splice: bool) -> io::Result<()> {
    let (_reader, writer) = nix::unistd::pipe()?;
    let (from, to) = (file.as_raw_fd(), writer.as_raw_fd());
    let nowhere = std::ptr::null_mut();
    // SAFETY: both descriptors are open, and there is no offset to write back.
    let moved = check(unsafe {
        if by_splice {
            libc::splice(from, nowhere, to, nowhere, 4_096, 0)
        } else {
            libc::sendfile(to, from, nowhere, 4_096)
        }
    } as libc::c_long)?;
    if moved == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}

/// Has the kernel open the file for us, with more flags of the entry and of the ring.
pub(crate) fn open_by_uring(path: &Path, entry: squeue::Flags, polled: bool) -> io::Result<()> {
    let mut builder = IoUring::builder();
    if polled {
        builder.setup_sqpoll(10);
    }
    let mut ring = builder.build(2)?;
    let path = c(path)?;
    let open = opcode::OpenAt::new(types::Fd(libc::AT_FDCWD), path.as_ptr())
        .flags(libc::O_RDONLY)
        .build()
        .flags(entry);
    // SAFETY: the path outlives the ring's work, which is waited for.
    unsafe { ring.submission().push(&open) }.map_err(io::Error::other)?;
    ring.submit_and_wait(1)?;
    let done = ring.completion().next();
    let answer = done.map_or(-libc::EIO, |done: cqueue::Entry| done.result());
    if answer < 0 {
        return Err(io::Error::from_raw_os_error(-answer));
    }
    // SAFETY: the kernel has just made this descriptor for us.
    drop(unsafe { OwnedFd::from_raw_fd(answer) });
    Ok(())
}

/// openat2(2), which says how the way may lead.
pub(crate) fn openat2(path: &Path) -> io::Result<()> {
    let path = c(path)?;
    // `struct open_how`: flags, mode, resolve.
    let how = [0_u64; 3];
    // SAFETY: the kernel reads a path that ends with a NUL and the structure in the size that is given.
    let fd = check(unsafe {
        libc::syscall(
            libc::SYS_openat2,
            libc::AT_FDCWD,
            path.as_ptr(),
            how.as_ptr(),
            size_of_val(&how),
        )
    })?;
    // SAFETY: the kernel has just made this descriptor for us.
    drop(unsafe { OwnedFd::from_raw_fd(i32::try_from(fd).map_err(io::Error::other)?) });
    Ok(())
}

/// A bind mount by open_tree(2) and move_mount(2), which newer programs use.
pub(crate) fn move_mount(from: &Path, at: &Path) -> io::Result<()> {
    const CLONE: libc::c_uint = 1;
    const EMPTY_PATH: libc::c_uint = 4;
    let (from, at) = (c(from)?, c(at)?);
    // SAFETY: the path ends with a NUL and outlives the call.
    let tree =
        check(unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, from.as_ptr(), CLONE) })?;
    // SAFETY: the kernel has just made this descriptor for us.
    let tree = unsafe { OwnedFd::from_raw_fd(i32::try_from(tree).map_err(io::Error::other)?) };
    // SAFETY: both paths end with a NUL and outlive the call.
    check(unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_FDCWD,
            at.as_ptr(),
            EMPTY_PATH,
        )
    })
    .map(drop)
}

/// execveat(2) with a descriptor and no name, as fexecve(3) does.
pub(crate) fn execute(file: &File) -> io::Result<()> {
    let arguments = [c"program".as_ptr(), c"/dev/null".as_ptr(), std::ptr::null()];
    let environment = [std::ptr::null::<libc::c_char>()];
    // SAFETY: both lists end with a null, and each of their strings with a NUL.
    check(unsafe {
        libc::syscall(
            libc::SYS_execveat,
            file.as_raw_fd(),
            c"".as_ptr(),
            arguments.as_ptr(),
            environment.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    })
    .map(drop)
}

/// `struct file_handle` with room for the largest.
#[repr(C)]
struct Handle {
    bytes: u32,
    kind: i32,
    data: [u8; 128],
}

/// Opens a file by its handle, after having done what there is to do `between` taking the handle and using it.
pub(crate) fn open_by_handle(
    path: &Path,
    between: impl FnOnce() -> io::Result<()>,
) -> io::Result<()> {
    open_by_handle_at(path.parent().unwrap_or(Path::new("/")), path, between)
}

/// The same by way of any directory on its file system.
pub(crate) fn open_by_handle_at(
    directory: &Path,
    path: &Path,
    between: impl FnOnce() -> io::Result<()>,
) -> io::Result<()> {
    let mount = File::open(directory)?;
    let path = c(path)?;
    let mut handle = Handle {
        bytes: 128,
        kind: 0,
        data: [0; 128],
    };
    let mut mount_id = 0;
    // SAFETY: the kernel writes to the handle no more than the room that it states, and to the number.
    check(unsafe {
        libc::syscall(
            libc::SYS_name_to_handle_at,
            libc::AT_FDCWD,
            path.as_ptr(),
            std::ptr::from_mut(&mut handle),
            std::ptr::from_mut::<i32>(&mut mount_id),
            0,
        )
    })?;
    between()?;
    // SAFETY: the kernel reads the handle that it has just written.
    let fd = check(unsafe {
        libc::syscall(
            libc::SYS_open_by_handle_at,
            mount.as_raw_fd(),
            std::ptr::from_mut(&mut handle),
            libc::O_RDONLY,
        )
    })?;
    // SAFETY: the kernel has just made this descriptor for us.
    drop(unsafe { OwnedFd::from_raw_fd(i32::try_from(fd).map_err(io::Error::other)?) });
    Ok(())
}
