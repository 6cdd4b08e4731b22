"""python3 container.py ROOT PROGRAM ARGUMENT...: what a container engine does before it executes a container's
process 1, at its strictest: a root file system that nobody writes to, a user without any right, and a filter of
system calls. Process 1 of a new process and mount space runs it (`unshare --pid --fork --mount`).

The filter refuses what Docker's and containerd's default profiles refuse a container without capabilities
(https://docs.docker.com/engine/security/seccomp/), and some more.
"""

import ctypes
import os
import struct
import subprocess
import sys

# x86-64's numbers.
REFUSED = {
    "syslog": 103, "personality": 135, "uselib": 134, "ustat": 136, "sysfs": 139, "vhangup": 153,
    "pivot_root": 155, "_sysctl": 156, "chroot": 161, "acct": 163, "settimeofday": 164, "mount": 165,
    "umount2": 166, "swapon": 167, "swapoff": 168, "reboot": 169, "sethostname": 170, "setdomainname": 171,
    "iopl": 172, "ioperm": 173, "create_module": 174, "init_module": 175, "delete_module": 176,
    "get_kernel_syms": 177, "query_module": 178, "quotactl": 179, "nfsservctl": 180, "getpmsg": 181,
    "putpmsg": 182, "afs_syscall": 183, "tuxcall": 184, "security": 185, "lookup_dcookie": 212,
    "clock_settime": 227, "vserver": 236, "mbind": 237, "set_mempolicy": 238, "get_mempolicy": 239,
    "kexec_load": 246, "add_key": 248, "request_key": 249, "keyctl": 250, "migrate_pages": 256, "unshare": 272,
    "move_pages": 279, "perf_event_open": 298, "fanotify_init": 300, "open_by_handle_at": 304, "setns": 308,
    "process_vm_readv": 310, "process_vm_writev": 311, "kcmp": 312, "finit_module": 313,
    "kexec_file_load": 320, "bpf": 321, "userfaultfd": 323, "io_uring_setup": 425, "io_uring_enter": 426,
    "io_uring_register": 427, "open_tree": 428, "move_mount": 429, "fsopen": 430, "fsconfig": 431,
    "fsmount": 432, "fspick": 433, "pidfd_getfd": 438, "process_madvise": 440, "mount_setattr": 442,
    "quotactl_fd": 443, "set_mempolicy_home_node": 450, "ptrace": 101,
}
# What is newer than the profiles.
NEWER = 451
SOCKET, CLONE, CLONE3 = 41, 56, 435
AF_VSOCK = 40
NEW_SPACES = 0x7E020000

# From <linux/prctl.h>, <linux/seccomp.h>, <linux/audit.h> and <linux/filter.h>.
PR_SET_SECCOMP, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 22, 24, 38
SECCOMP_MODE_FILTER = 2
ALLOW, KILL, ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
AUDIT_ARCH_X86_64 = 0xC000003E
LOAD, RETURN, EQUAL, AT_LEAST, ANY_BIT = 0x20, 0x06, 0x15, 0x35, 0x45
NUMBER, ARCHITECTURE, FIRST_ARGUMENT = 0, 4, 16
EPERM, ENOSYS = 1, 38
LIBC = ctypes.CDLL(None, use_errno=True)


def prctl(option, first=0, second=0):
    if LIBC.prctl(option, ctypes.c_ulong(first), second, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl {option}")


def filter_program():
    """The filter, in the kernel's classic BPF: each instruction is (code, jump if true, jump if not, operand)."""
    program = [(LOAD, 0, 0, ARCHITECTURE), (EQUAL, 1, 0, AUDIT_ARCH_X86_64), (RETURN, 0, 0, KILL)]

    def refuse(test, operand, errno=EPERM):
        program.extend([(test, 0, 1, operand), (RETURN, 0, 0, ERRNO | errno)])

    program.append((LOAD, 0, 0, NUMBER))
    for number in REFUSED.values():
        refuse(EQUAL, number)
    # The C library takes clone where it hears that there is no clone3.
    refuse(EQUAL, CLONE3, ENOSYS)
    refuse(AT_LEAST, NEWER)
    for number, test, operand in ((SOCKET, EQUAL, AF_VSOCK), (CLONE, ANY_BIT, NEW_SPACES)):
        program.extend([(EQUAL, 0, 4, number), (LOAD, 0, 0, FIRST_ARGUMENT)])
        refuse(test, operand)
        program.append((RETURN, 0, 0, ALLOW))
    program.append((RETURN, 0, 0, ALLOW))
    return b"".join(struct.pack("HBBI", *instruction) for instruction in program)


def confine():
    """From now on this process has a filter, and no right that root has."""
    for capability in range(64):
        if LIBC.prctl(PR_CAPBSET_DROP, ctypes.c_ulong(capability), 0, 0, 0) != 0:
            break
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    program = filter_program()
    instructions = ctypes.create_string_buffer(program, len(program))
    described = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(instructions))
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.create_string_buffer(described, len(described)))


def main(root, *command):
    assert os.getpid() == 1, "unshare --pid --fork"
    for mount in (["--bind", root, root], ["-o", "remount,bind,ro", root],
                  ["-t", "proc", "proc", f"{root}/proc"], ["-t", "tmpfs", "-o", "mode=1777", "tmpfs", f"{root}/tmp"]):
        subprocess.run(["mount", *mount], check=True)
    os.chroot(root)
    os.chdir("/app")
    confine()
    os.execve(command[0], command, {"PATH": "/usr/local/bin:/usr/bin:/bin", "PORT": os.environ["PORT"]})


if __name__ == "__main__":
    main(*sys.argv[1:])
