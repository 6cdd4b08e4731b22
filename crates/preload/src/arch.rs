//! What differs between processors: the system call instruction, the numbers, and how bytes are scanned.

#[cfg(target_arch = "x86_64")]
pub use x86_64::*;

#[cfg(target_arch = "x86_64")]
mod x86_64 {
    #[cfg(feature = "library")]
    use core::arch::global_asm;
    use core::arch::x86_64::{
        _mm_and_si128, _mm_cmpeq_epi8, _mm_loadu_si128, _mm_min_epu8, _mm_movemask_epi8,
        _mm_set1_epi8,
    };
    use core::arch::{asm, naked_asm};

    /// Looks at a head's bytes sixteen at a time.
    pub(crate) struct Sse2;

    impl framing::Scan for Sse2 {
        #[inline]
        fn controls(part: &[u8; 16]) -> u16 {
            // SAFETY: the sixteen bytes are there, and SSE2 is a part of x86-64.
            let bits = unsafe {
                let bytes = _mm_loadu_si128(part.as_ptr().cast());
                let below = _mm_min_epu8(bytes, _mm_set1_epi8(31));
                _mm_movemask_epi8(_mm_cmpeq_epi8(bytes, below))
            };
            bits as u16
        }

        #[inline]
        fn is_same(one: &[u8; 64], other: &[u8; 64]) -> bool {
            let equal = |at: usize| {
                // SAFETY: called below for parts that are there, and SSE2 is a part of x86-64.
                unsafe {
                    let one = _mm_loadu_si128(one.as_ptr().add(at).cast());
                    let other = _mm_loadu_si128(other.as_ptr().add(at).cast());
                    _mm_cmpeq_epi8(one, other)
                }
            };
            // SAFETY: SSE2 is a part of x86-64.
            let bits = unsafe {
                let half = _mm_and_si128(equal(0), equal(16));
                _mm_movemask_epi8(_mm_and_si128(half, _mm_and_si128(equal(32), equal(48))))
            };
            bits == 0xffff
        }
    }

    /// System call numbers, from the kernel's `syscall_64.tbl`.
    pub(crate) mod nr {
        pub(crate) const READ: usize = 0;
        pub(crate) const WRITE: usize = 1;
        pub(crate) const CLOSE: usize = 3;
        pub(crate) const MMAP: usize = 9;
        pub(crate) const IOCTL: usize = 16;
        pub(crate) const READV: usize = 19;
        pub(crate) const WRITEV: usize = 20;
        pub(crate) const SCHED_YIELD: usize = 24;
        pub(crate) const MADVISE: usize = 28;
        pub(crate) const DUP: usize = 32;
        pub(crate) const DUP2: usize = 33;
        pub(crate) const GETPID: usize = 39;
        pub(crate) const SENDFILE: usize = 40;
        pub(crate) const SOCKET: usize = 41;
        pub(crate) const CONNECT: usize = 42;
        pub(crate) const ACCEPT: usize = 43;
        pub(crate) const SENDTO: usize = 44;
        pub(crate) const RECVFROM: usize = 45;
        pub(crate) const SENDMSG: usize = 46;
        pub(crate) const RECVMSG: usize = 47;
        pub(crate) const SHUTDOWN: usize = 48;
        pub(crate) const BIND: usize = 49;
        pub(crate) const LISTEN: usize = 50;
        pub(crate) const GETSOCKNAME: usize = 51;
        pub(crate) const GETPEERNAME: usize = 52;
        pub(crate) const SOCKETPAIR: usize = 53;
        pub(crate) const SETSOCKOPT: usize = 54;
        pub(crate) const GETSOCKOPT: usize = 55;
        pub(crate) const FCNTL: usize = 72;
        pub(crate) const UNLINK: usize = 87;
        pub(crate) const GETPPID: usize = 110;
        pub(crate) const GETTID: usize = 186;
        pub(crate) const GETDENTS64: usize = 217;
        #[cfg(feature = "library")]
        pub(crate) const EXIT_GROUP: usize = 231;
        pub(crate) const EPOLL_CTL: usize = 233;
        pub(crate) const OPENAT: usize = 257;
        pub(crate) const NEWFSTATAT: usize = 262;
        pub(crate) const UNLINKAT: usize = 263;
        pub(crate) const READLINKAT: usize = 267;
        pub(crate) const SPLICE: usize = 275;
        pub(crate) const ACCEPT4: usize = 288;
        pub(crate) const DUP3: usize = 292;
        pub(crate) const PRLIMIT64: usize = 302;
        pub(crate) const PROCESS_VM_READV: usize = 310;
        pub(crate) const PROCESS_VM_WRITEV: usize = 311;
    }

    /// Makes a system call; a failure comes back as the negated error number.
    ///
    /// # Safety
    /// The arguments must be what the call numbered `n` expects.
    #[inline]
    pub(crate) unsafe fn syscall6(n: usize, a: [usize; 6]) -> isize {
        let result;
        // SAFETY: the kernel's convention on x86-64: number in rax, arguments in rdi, rsi, rdx,
        // r10, r8, r9, result in rax, rcx and r11 overwritten. What the call does with its
        // arguments is the caller's promise.
        unsafe {
            asm!(
                "syscall",
                inlateout("rax") n as isize => result,
                in("rdi") a[0],
                in("rsi") a[1],
                in("rdx") a[2],
                in("r10") a[3],
                in("r8") a[4],
                in("r9") a[5],
                lateout("rcx") _,
                lateout("r11") _,
                options(nostack),
            );
        }
        result
    }

    /// What tells this thread from the others of its process: where its thread-local storage is,
    /// which the first word of that storage holds. Costs no system call.
    #[inline]
    pub(crate) fn thread() -> u64 {
        let pointer;
        // SAFETY: reads one word at fs:0, which the x86-64 ABI defines as the thread pointer
        // itself, in every thread of every libc.
        unsafe {
            asm!("mov {}, qword ptr fs:[0]", out(reg) pointer, options(nostack, pure, readonly, preserves_flags));
        }
        pointer
    }

    /// Address of `environ`, or null in a program that has none.
    pub(crate) fn environ() -> *const *const *const u8 {
        let at;
        // SAFETY: reads one pointer out of the global offset table. The symbol is weak: where no
        // library defines it, the entry is 0.
        unsafe {
            asm!(
                ".weak environ",
                "mov {}, qword ptr [rip + environ@GOTPCREL]",
                out(reg) at,
                options(nostack, pure, readonly, preserves_flags),
            );
        }
        at
    }

    /// A function whose value is the address of a symbol of libc, or 0 in a program that has none.
    macro_rules! weak {
        ($(#[$doc:meta])* $function:ident, $symbol:literal) => {
            $(#[$doc])*
            #[inline]
            pub(crate) fn $function() -> usize {
                let at;
                // SAFETY: as for `environ`.
                unsafe {
                    asm!(
                        concat!(".weak ", $symbol),
                        concat!("mov {}, qword ptr [rip + ", $symbol, "@GOTPCREL]"),
                        out(reg) at,
                        options(nostack, pure, readonly, preserves_flags),
                    );
                }
                at
            }
        };
    }

    weak!(
        /// Address of the function that tells where errno is, or 0.
        errno_location,
        "__errno_location"
    );
    weak!(
        /// Address of libc's own `read`, or 0.
        libc_read,
        "__read"
    );
    weak!(
        /// Address of libc's own `write`, or 0.
        libc_write,
        "__write"
    );
    weak!(
        /// Address of libc's own `send`, or 0.
        libc_send,
        "__send"
    );
    weak!(
        /// Address of libc's own `fcntl`, or 0.
        libc_fcntl,
        "__fcntl"
    );

    // The compiler calls these for larger copies. They are hidden: the program's own stay in
    // place, and the library needs nobody's.
    #[cfg(feature = "library")]
    global_asm!(
        ".globl memcpy",
        ".hidden memcpy",
        "memcpy:",
        "mov rax, rdi",
        "mov rcx, rdx",
        "rep movsb",
        "ret",
        ".globl memset",
        ".hidden memset",
        "memset:",
        "mov r8, rdi",
        "mov eax, esi",
        "mov rcx, rdx",
        "rep stosb",
        "mov rax, r8",
        "ret",
        ".globl memcmp",
        ".hidden memcmp",
        ".globl bcmp",
        ".hidden bcmp",
        "memcmp:",
        "bcmp:",
        "xor eax, eax",
        "xor ecx, ecx",
        "2:",
        "cmp rcx, rdx",
        "je 3f",
        "movzx eax, byte ptr [rdi + rcx]",
        "movzx r8d, byte ptr [rsi + rcx]",
        "inc rcx",
        "sub eax, r8d",
        "je 2b",
        "3:",
        "ret",
    );

    // Nothing here unwinds, and the linker has dropped all that could; the tables of the core
    // library still name this function.
    #[cfg(feature = "library")]
    global_asm!(
        ".globl rust_eh_personality",
        ".hidden rust_eh_personality",
        "rust_eh_personality:",
        "ud2",
    );

    /// For each number whether `syscall` is to take the call over.
    static IS_OURS: [bool; nr::ACCEPT4 + 1] = {
        let mut is_ours = [false; nr::ACCEPT4 + 1];
        let mut left: &[usize] = &crate::hooks::OURS;
        while let [n, rest @ ..] = left {
            is_ours[*n] = true;
            left = rest;
        }
        is_ours
    };

    /// `long syscall(long number, ...)`: variadic in C, but the arguments are passed as to any
    /// function. A leaf without a frame, as libc's own is: calls like vfork come back twice on
    /// one stack. What is not ours goes to the kernel with all six arguments.
    ///
    /// # Safety
    /// The arguments must be what the call numbered `rdi` expects.
    #[cfg_attr(feature = "library", unsafe(no_mangle))]
    #[unsafe(naked)]
    pub unsafe extern "C" fn syscall() {
        naked_asm!(
            "cmp rdi, {last}",
            "ja 3f",
            "lea rax, [rip + {is_ours}]",
            "cmp byte ptr [rax + rdi], 0",
            "jne 4f",
            "3:",
            "mov rax, rdi",
            "mov rdi, rsi",
            "mov rsi, rdx",
            "mov rdx, rcx",
            "mov r10, r8",
            "mov r8, r9",
            "mov r9, qword ptr [rsp + 8]",
            "syscall",
            "cmp rax, -4095",
            "jae 5f",
            "ret",
            "4:",
            "jmp {ours}",
            "5:",
            "mov rdi, rax",
            "jmp {fail}",
            last = const IS_OURS.len() - 1,
            is_ours = sym IS_OURS,
            ours = sym crate::hooks::syscall_ours,
            fail = sym crate::hooks::syscall_failed,
        )
    }
}

#[cfg(test)]
mod tests {
    use framing::{Portable, Scan};

    #[test]
    fn vector_instructions_tell_texts_apart() {
        let one = core::array::from_fn(|at| at as u8);
        for at in 0..64 {
            let mut other = one;
            other[at] ^= 1 << (at % 8);
            assert!(super::Sse2::is_same(&one, &one) && Portable::is_same(&one, &one));
            assert!(!super::Sse2::is_same(&one, &other) && !Portable::is_same(&one, &other));
        }
    }

    #[test]
    fn vector_instructions_find_what_the_portable_way_finds() {
        for byte in 0..=u8::MAX {
            for at in 0..16 {
                let mut part = [b'x'; 16];
                part[at] = byte;
                let found = super::Sse2::controls(&part);
                assert_eq!(found, Portable::controls(&part));
                assert_eq!(found, u16::from(byte < 32) << at);
            }
        }
        assert_eq!(super::Sse2::controls(&[0; 16]), u16::MAX);
    }
}

#[cfg(not(target_arch = "x86_64"))]
compile_error!("the preload library knows the system calls of x86-64 only");
