//! How the process's allocator treats large blocks.
//!
//! Left to itself, glibc learns from the first freed chunk of an update to keep blocks of that size in its heaps, one for each
//! thread, where small blocks between them soon pin everything: with these settings a run of 20 nodes × 40 MB peaked some 80 MB lower (one run each). Blocks from
//! 4 MiB on therefore always come from the system and go back to it; smaller ones share two heaps, whose ends are not given
//! back and taken again for every block.

use std::sync::atomic::{AtomicU64, Ordering};

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[napi_derive::module_init]
fn keep_large_blocks_apart() {
    for (setting, value) in
        [(libc::M_MMAP_THRESHOLD, 4 << 20), (libc::M_TRIM_THRESHOLD, 32 << 20), (libc::M_ARENA_MAX, 2)]
    {
        // SAFETY: mallopt may be called at any time; a value it does not take changes nothing.
        unsafe { libc::mallopt(setting, value) };
    }
}

/// Gives free pages in the middle of the heaps back to the system: glibc by itself gives back only the end. For the borders of
/// a phase, where much was freed; a thread of its own does it, because the time grows with the heaps.
pub fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    std::thread::spawn(|| {
        // SAFETY: malloc_trim may be called at any time, from any thread.
        unsafe { libc::malloc_trim(0) };
    });
}

/// Between the borders of a phase, the bytes of an update arrive in small blocks by the thousand.
const GIVE_BACK_EVERY: u64 = 256 << 20;

/// Told of bytes that passed through; gives back the free pages every so many, a hundredth of what the bytes themselves cost.
pub fn passed(bytes: u64) {
    static WAITING: AtomicU64 = AtomicU64::new(0);
    if WAITING.fetch_add(bytes, Ordering::Relaxed) + bytes >= GIVE_BACK_EVERY {
        WAITING.store(0, Ordering::Relaxed);
        give_back();
    }
}
