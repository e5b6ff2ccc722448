//! Settings of glibc's allocator for programs that train.

/// Make the process's allocator keep freed memory for later requests instead of returning it to the system.
///
/// A training step frees all its tensors and the next one allocates the same sizes again. Every page that comes from
/// the system costs a page fault. This is for programs, not for libraries: it changes the whole process. It has no
/// effect without glibc. `MALLOC_*` variables that the user has set take precedence.
///
/// # Safety
/// No other thread may run yet: allocations read these settings without a lock.
pub unsafe fn keep_freed_memory() {
    // A single arena, because only that of the main thread grows and shrinks as one piece. The arena serves
    // requests of up to 32 MiB, the most that glibc accepts.
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    for (name, parameter, value) in [
        ("MALLOC_ARENA_MAX", libc::M_ARENA_MAX, 1),
        ("MALLOC_MMAP_THRESHOLD_", libc::M_MMAP_THRESHOLD, 1 << 25),
        ("MALLOC_TRIM_THRESHOLD_", libc::M_TRIM_THRESHOLD, i32::MAX),
    ] {
        if std::env::var_os(name).is_none() {
            // SAFETY: mallopt takes two integers, and by the caller's promise no other thread reads what it
            // sets. A refusal is harmless.
            unsafe { libc::mallopt(parameter, value) };
        }
    }
}
