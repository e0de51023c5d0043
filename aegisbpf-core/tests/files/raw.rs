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
};

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
    let mount = File::open(path.parent().unwrap_or(Path::new("/")))?;
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
