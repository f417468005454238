//! The C library's allocator, which is made for programs that are larger and busier than this one.

/// Lets all threads allocate from one pool: by default each of them gets its own, and what one gives back the others cannot
/// use. To be called before there are threads.
pub fn use_one_pool() {
    #[cfg(target_env = "gnu")]
    #[expect(unsafe_code, reason = "there is no safe way to set up the C library's allocator")]
    // SAFETY: two numbers, and no other thread yet.
    let _ = unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
}

/// Gives memory that is free back to the system, which the allocator only does at the end of its pool.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    #[expect(unsafe_code, reason = "there is no safe way to tell the C library's allocator")]
    // SAFETY: it takes the allocator's own locks, and touches nothing that is in use.
    let _ = unsafe { libc::malloc_trim(0) };
}
