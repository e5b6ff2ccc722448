//! Settings of signals for programs that write files.

/// Let a write beyond the largest size of a file (`ulimit -f`) fail with an error, which has a message, instead of
/// ending the process. This is for programs, not for libraries: it changes the whole process. It has no effect without
/// glibc.
pub fn report_writes_beyond_limit() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: to ignore a signal runs no handler and touches no memory of the process.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
    }
}
