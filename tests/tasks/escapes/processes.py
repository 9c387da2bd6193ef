"""Other processes: made, signalled, looked into; limits lifted."""

import ctypes
import fcntl
import multiprocessing
import os
import resource
import subprocess
import sys
import threading

from tests.tasks.escapes.tools import INTEL, checked, holds_secret, libc, syscall, zero


def ended(pid):
    """A child of ours has ended; it is told by pid 0 that it is one."""
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return True


def escape_fork(w):
    return ended(os.fork())


def escape_fork_with_the_c_library(w):
    return ended(libc.fork())


def escape_clone(w):
    pid = libc.syscall(ctypes.c_long(56 if INTEL else 220), ctypes.c_long(17), zero, zero, zero, zero)
    checked(pid)
    return ended(pid)


def escape_clone_by_the_newer_call(w):
    pid = libc.syscall(ctypes.c_long(435), (ctypes.c_uint64 * 8)(0, 0, 0, 0, 17, 0, 0, 0), ctypes.c_long(64))
    checked(pid)
    return ended(pid)


def escape_start_a_command(w):
    return subprocess.run([sys.executable, "-c", ""], check=True)


def escape_start_a_shell(w):
    return libc.system(b"exit 0") == 0


def escape_spawn(w):
    return ended(os.posix_spawn("/bin/sh", ["sh", "-c", "exit 0"], {}))


def escape_become_another_program(w):
    os.execv("/bin/sh", ["sh", "-c", "exit 0"])


def escape_become_the_interpreter_again(w):
    os.execv(sys.executable, [sys.executable, "-c", ""])


def escape_share_work(w):
    process = multiprocessing.get_context("fork").Process(target=int)
    process.start()
    process.join()
    return process.exitcode == 0


def escape_start_a_thread(w):
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()
    return True


def escape_leave_the_session(w):
    os.setsid()
    return True


def escape_leave_the_group(w):
    os.setpgid(0, 0)
    return True


def escape_signal_the_parent(w):
    os.kill(w["pid"], 0)
    return True


def escape_signal_the_launcher(w):
    os.kill(os.getppid(), 0)
    return True


def escape_signal_the_group(w):
    os.killpg(0, 0)
    return True


def escape_signal_everybody(w):
    os.kill(-1, 0)
    return True


def escape_signal_by_a_descriptor(w):
    return os.pidfd_open(w["pid"])


def escape_have_the_kernel_signal_the_parent(w):
    fcntl.fcntl(1, fcntl.F_SETOWN, w["pid"])
    fcntl.fcntl(1, fcntl.F_SETOWN, 0)
    return True


def escape_queue_a_signal(w):
    return checked(libc.sigqueue(w["pid"], 0, None))


def escape_trace(w):
    return checked(libc.ptrace(0, 0, zero, zero))


def escape_read_the_memory_of_the_parent(w):
    buffer = ctypes.create_string_buffer(40)
    here = (ctypes.c_size_t * 2)(ctypes.addressof(buffer), 39)
    there = (ctypes.c_size_t * 2)(w["address"], 39)
    checked(libc.process_vm_readv(w["pid"], here, ctypes.c_ulong(1), there, ctypes.c_ulong(1), zero))
    return holds_secret(w, buffer.value)


def escape_compare_with_the_parent(w):
    return syscall(312, 272, os.getpid(), w["pid"], 1, 0, 0)


def escape_lift_the_limit_of_time(w):
    resource.setrlimit(resource.RLIMIT_CPU, resource.getrlimit(resource.RLIMIT_CPU))
    return True


def escape_lift_the_limit_of_memory(w):
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    return True


def escape_read_the_limits_of_the_parent(w):
    return resource.prlimit(w["pid"], resource.RLIMIT_NOFILE)


def escape_choose_processors(w):
    os.sched_setaffinity(0, os.sched_getaffinity(0))
    return True


def escape_change_the_priority(w):
    os.setpriority(os.PRIO_PROCESS, 0, os.getpriority(os.PRIO_PROCESS, 0))
    return True


def escape_outlive_the_launcher(w):
    return checked(libc.prctl(1, zero, zero, zero, zero))


def escape_adopt_orphans(w):
    return checked(libc.prctl(36, ctypes.c_long(1), zero, zero, zero))
