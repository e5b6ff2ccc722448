//! Whether the processor has tiles for bf16, and the system's permission to use them.

use std::arch::x86_64::{__cpuid, __cpuid_count};
use std::sync::OnceLock;

/// Proof that this process may use tiles and their products of bf16.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Amx(());

impl Amx {
    /// Ask for permission, once per process. Return `None` if the processor has no tiles, or the system keeps no state
    /// for them.
    pub(crate) fn try_new() -> Option<Self> {
        static PERMITTED: OnceLock<bool> = OnceLock::new();
        PERMITTED.get_or_init(|| has_tiles() && saves_tiles() && permit()).then_some(Self(()))
    }

    /// Return whether there are products of int8 too (bit 25). CPUID is slow in a virtual machine, so it is asked once.
    pub(crate) fn has_int8(self) -> bool {
        static HAS_INT8: OnceLock<bool> = OnceLock::new();
        *HAS_INT8.get_or_init(|| __cpuid_count(7, 0).edx & 1 << 25 != 0)
    }
}

/// Return whether the processor has tiles (bit 24) and their products of bf16 (bit 22).
fn has_tiles() -> bool {
    let needed = 1 << 24 | 1 << 22;
    // Leaf 7 exists if the highest leaf is 7 or more.
    __cpuid(0).eax >= 7 && __cpuid_count(7, 0).edx & needed == needed
}

/// Return whether the system saves the configuration (bit 17) and the data (bit 18) of tiles when it switches threads.
fn saves_tiles() -> bool {
    let needed = 1 << 18 | 1 << 17;
    if __cpuid(1).ecx & 1 << 27 == 0 {
        return false; // without XGETBV
    }
    let (low, _high): (u32, u32);
    // SAFETY: the processor has XGETBV, which reads a register that every system with it lets programs read.
    unsafe {
        std::arch::asm!("xgetbv", in("ecx") 0, out("eax") low, out("edx") _high, options(nomem, nostack));
    }
    low & needed == needed
}

/// Ask Linux for permission to use the data of tiles (component 18) in all threads of this process.
#[cfg(target_os = "linux")]
fn permit() -> bool {
    const ARCH_PRCTL: i64 = 158;
    const ARCH_REQ_XCOMP_PERM: i64 = 0x1023;
    const TILE_DATA: i64 = 18;
    let result: i64;
    // SAFETY: this system call takes two numbers and touches no memory of the program; `syscall` overwrites rcx and
    // r11.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") ARCH_PRCTL => result,
            in("rdi") ARCH_REQ_XCOMP_PERM,
            in("rsi") TILE_DATA,
            out("rcx") _,
            out("r11") _,
            options(nostack),
        );
    }
    result == 0
}

/// Return `false`: how to ask other systems for permission is not implemented.
#[cfg(not(target_os = "linux"))]
fn permit() -> bool {
    false
}
