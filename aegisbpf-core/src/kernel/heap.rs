//! Giving the heap back after the kernel's type information was read.

/// Reading BTF takes some 30 MB of heap for a moment. The C library keeps such pages for later, and the process
/// would hold them for as long as it lives: most of what an enforcer holds at all. Where the C library is not
/// glibc this does nothing.
pub(crate) fn give_back() {
    #[cfg(target_env = "gnu")]
    #[expect(unsafe_code, reason = "no safe wrapper of malloc_trim(3) is published")]
    // SAFETY: malloc_trim takes no pointer, touches only memory that is free, and is safe in threads (MT-Safe).
    unsafe {
        libc::malloc_trim(0);
    }
}
