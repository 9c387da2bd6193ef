"""What the attempts have in common."""

import ctypes
import platform

libc = ctypes.CDLL(None, use_errno=True)
INTEL = platform.machine() == "x86_64"
zero = ctypes.c_long(0)


def syscall(intel, arm, *arguments):
    """A system call by its number, past the C library; an error where it is refused."""
    long = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    return checked(libc.syscall(ctypes.c_long(intel if INTEL else arm), *long))


def checked(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), "refused")
    return True


def holds_secret(w, text):
    return w["secret"] in (text.decode(errors="replace") if isinstance(text, bytes) else text)
