"""Interfaces of the kernel: shared memory and queues, namespaces, mounts, users, other calling conventions."""

import ctypes
import fcntl
import mmap
import os
from multiprocessing import shared_memory

from tests.tasks.escapes.tools import INTEL, checked, libc, syscall, zero


def escape_share_memory(w):
    number = libc.shmget(0, 4096, 0o1600)
    checked(number)
    return checked(libc.shmctl(number, 0, None))


def escape_share_named_memory(w):
    memory = shared_memory.SharedMemory(create=True, size=16)
    memory.close()
    memory.unlink()
    return True


def escape_make_a_semaphore(w):
    number = libc.semget(0, 1, 0o1600)
    checked(number)
    return checked(libc.semctl(number, 0, 0))


def escape_make_a_message_queue(w):
    number = libc.msgget(0, 0o1600)
    checked(number)
    return checked(libc.msgctl(number, 0, None))


def escape_make_a_named_queue(w):
    checked(libc.mq_open(b"/moatbench", os.O_CREAT | os.O_RDWR, 0o600, None))
    return checked(libc.mq_unlink(b"/moatbench"))


def escape_make_a_file_in_memory(w):
    return os.memfd_create("memory")


def escape_keep_a_key(w):
    return syscall(248, 217, ctypes.c_char_p(b"user"), ctypes.c_char_p(b"moatbench"), ctypes.c_char_p(b"x"), 1, -2)


def escape_watch_files(w):
    return checked(libc.inotify_init())


def escape_watch_all_files(w):
    return checked(libc.fanotify_init(0, 0))


def escape_be_told_of_changes(w):
    fcntl.fcntl(os.open(w["outside"], os.O_RDONLY), fcntl.F_NOTIFY, 1)
    return True


def escape_enlarge_a_pipe(w):
    return fcntl.fcntl(os.pipe()[1], fcntl.F_SETPIPE_SZ, 2**20)


def escape_nest_a_user_namespace(w):
    return checked(libc.unshare(0x10000000))


def escape_nest_a_network_namespace(w):
    return checked(libc.unshare(0x40000000))


def escape_nest_a_mount_namespace(w):
    return checked(libc.unshare(0x00020000))


def escape_enter_the_parents_namespaces(w):
    return checked(libc.setns(os.pidfd_open(w["pid"]), 0x00020000))


def escape_mount(w):
    if not w["isolated"]:
        checked(libc.unshare(0x00020000))
        checked(libc.mount(None, b"/", None, ctypes.c_ulong(0x44000), None))
    return checked(libc.mount(b"tmpfs", b".", b"tmpfs", zero, None))


def escape_mount_by_the_newer_call(w):
    return syscall(430, 430, ctypes.c_char_p(b"tmpfs"), 0)


def escape_become_root(w):
    os.setuid(0)
    return os.getuid() == 0


def escape_join_a_group(w):
    os.setgroups([0])
    return True


def escape_name_the_machine(w):
    name = os.uname().nodename.encode()
    return checked(libc.sethostname(name, len(name)))


def escape_ask_for_the_clocks_settings(w):
    return checked(libc.adjtimex(ctypes.create_string_buffer(512)))


def escape_change_the_personality(w):
    return checked(libc.personality(ctypes.c_ulong(0xFFFFFFFF)))


def escape_become_dumpable(w):
    return checked(libc.prctl(4, ctypes.c_long(1), zero, zero, zero))


def escape_name_the_process(w):
    return checked(libc.prctl(15, ctypes.c_char_p(b"moatbench"), zero, zero, zero))


def escape_add_a_filter_of_its_own(w):
    checked(libc.prctl(38, ctypes.c_long(1), zero, zero, zero))

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))

    allow = Program(1, (0x7FFF000000000006).to_bytes(8, "little"))
    return checked(libc.prctl(22, ctypes.c_long(2), ctypes.byref(allow), zero, zero))


def escape_lock_memory(w):
    return checked(libc.mlock(ctypes.create_string_buffer(4096), ctypes.c_size_t(4096)))


def escape_handle_faults_of_memory(w):
    return syscall(323, 282, 1)


def escape_load_code_into_the_kernel(w):
    return syscall(321, 280, 0, (ctypes.c_uint32 * 20)(2, 4, 8, 1), 72)


def escape_count_events(w):
    return syscall(298, 241, (ctypes.c_uint32 * 32)(1, 128), 0, -1, -1, 0)


def escape_read_the_kernels_log(w):
    return checked(libc.klogctl(10, None, 0))


def escape_learn_the_memory_of_the_machine(w):
    return checked(libc.sysinfo(ctypes.create_string_buffer(512)))


def escape_name_a_file_by_its_handle(w):
    handle = (ctypes.c_uint32 * 34)(128)
    number = ctypes.c_int()
    return syscall(303, 264, -100, ctypes.c_char_p(b"."), handle, ctypes.byref(number), 0)


def escape_call_as_a_program_of_32_bits(w):
    """getpid by ``int 0x80``: push rbx; mov eax, 20; int 0x80; pop rbx; ret."""
    if not INTEL:
        return False
    code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    code.write(b"\x53\xb8\x14\x00\x00\x00\xcd\x80\x5b\xc3")
    return ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))() > 0


def escape_call_with_short_pointers(w):
    return INTEL and libc.syscall(ctypes.c_long(0x40000000 + 39)) > 0
