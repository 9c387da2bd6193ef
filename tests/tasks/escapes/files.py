"""Files, folders, devices, memory as files, imports, libraries, secrets of the environment."""

import ctypes
import importlib.machinery
import mmap
import os
import sys
import zipimport

from tests.tasks.escapes.tools import checked, holds_secret, libc, syscall


def escape_read_a_file(w):
    return holds_secret(w, open(w["file"]).read())


def escape_read_by_descriptor(w):
    return holds_secret(w, os.read(os.open(w["file"], os.O_RDONLY), 100))


def escape_read_by_a_relative_path(w):
    return holds_secret(w, open("../" * 40 + w["file"].lstrip("/")).read())


def escape_read_after_climbing(w):
    for _ in range(40):
        os.chdir("..")
    return holds_secret(w, open(w["file"].lstrip("/")).read())


def escape_read_with_the_c_library(w):
    buffer = ctypes.create_string_buffer(100)
    checked(libc.read(libc.open(w["file"].encode(), 0), buffer, 99))
    return holds_secret(w, buffer.value)


def escape_read_with_openat2(w):
    how = (ctypes.c_uint64 * 3)(0, 0, 0)
    return syscall(437, 437, -100, ctypes.c_char_p(w["file"].encode()), how, 24)


def escape_read_with_a_loader(w):
    return holds_secret(w, importlib.machinery.SourceFileLoader("secret", w["file"]).get_data(w["file"]))


def escape_read_by_mapping(w):
    with open(w["file"], "rb") as file:
        return holds_secret(w, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)[:])


def escape_read_through_a_symbolic_link(w):
    os.symlink(w["file"], "symbolic")
    return holds_secret(w, open("symbolic").read())


def escape_read_through_a_hard_link(w):
    os.link(w["file"], "hard")
    return holds_secret(w, open("hard").read())


def escape_read_through_a_path_descriptor(w):
    place = os.open(w["file"], os.O_PATH)
    return holds_secret(w, open(f"/proc/self/fd/{place}").read())


def escape_read_an_inherited_descriptor(w):
    for number in range(3, 256):
        try:
            if holds_secret(w, os.pread(number, 100, 0)):
                return True
        except OSError:
            pass
    return False


def escape_list_a_folder(w):
    return os.listdir(w["outside"])


def escape_list_the_root(w):
    return {"etc", "usr"} <= set(os.listdir("/"))


def escape_read_the_users(w):
    return open("/etc/passwd").read()


def escape_read_the_kernels_settings(w):
    return os.listdir("/sys")


def escape_read_own_environment(w):
    return open("/proc/self/environ", "rb").read()


def escape_read_the_parents_environment(w):
    return open(f"/proc/{w['pid']}/environ", "rb").read()


def escape_read_the_parents_memory(w):
    with open(f"/proc/{w['pid']}/mem", "rb", buffering=0) as memory:
        return holds_secret(w, os.pread(memory.fileno(), 40, w["address"]))


def escape_list_processes(w):
    return str(w["pid"]) in os.listdir("/proc")


def escape_read_a_device(w):
    return open("/dev/zero", "rb").read(1)


def escape_make_a_device(w):
    os.mknod("zero", 0o20600, os.makedev(1, 5))
    return True


def escape_make_a_named_pipe(w):
    os.mkfifo("pipe")
    return True


def escape_write_a_file(w):
    return open(w["outside"] + "/new", "w").write("x")


def escape_append(w):
    with open(w["outside"] + "/appended", "a") as file:
        return file.write("x")


def escape_overwrite(w):
    with open(w["outside"] + "/overwritten", "r+") as file:
        return file.write("x")


def escape_delete(w):
    os.unlink(w["outside"] + "/deleted")
    return True


def escape_move_a_file_in(w):
    os.rename(w["outside"] + "/moved", "moved")
    return True


def escape_move_a_file_out(w):
    with open("mine", "w") as file:
        file.write("x")
    os.rename("mine", w["outside"] + "/mine")
    return True


def escape_make_a_folder(w):
    os.mkdir(w["outside"] + "/folder")
    return True


def escape_change_the_mode(w):
    os.chmod(w["outside"] + "/mode", 0o777)
    return True


def escape_change_the_owner(w):
    os.chown(w["outside"] + "/mode", os.getuid(), os.getgid())
    return True


def escape_change_the_time(w):
    os.utime(w["outside"] + "/mode", (1, 1))
    return True


def escape_truncate(w):
    os.truncate(w["outside"] + "/truncated", 0)
    return True


def escape_truncate_by_opening(w):
    return os.open(w["outside"] + "/truncated", os.O_RDONLY | os.O_TRUNC)


def escape_write_an_unnamed_file(w):
    return os.write(os.open(w["outside"], os.O_TMPFILE | os.O_RDWR), b"x")


def escape_mark_a_file(w):
    os.setxattr(w["outside"] + "/mode", "user.mark", b"x")
    return True


def escape_write_into_the_library(w):
    if not w["isolated"]:
        return False
    path = os.path.dirname(os.__file__) + "/escaped_from_isolation.py"
    open(path, "w").close()
    os.unlink(path)
    return True


def escape_change_root(w):
    os.chroot(".")
    return True


def escape_import_the_project(w):
    sys.path.insert(0, w["project"])
    return importlib.import_module("configs.errors")


def escape_import_what_is_installed(w):
    sys.path.insert(0, w["packages"])
    return importlib.import_module("iniconfig")


def escape_read_packages_within_the_library(w):
    path = os.path.dirname(os.__file__) + "/site-packages"
    return [open(f"{path}/{name}", "rb").read(1) for name in os.listdir(path) if os.path.isfile(f"{path}/{name}")]


def escape_import_from_an_archive(w):
    return zipimport.zipimporter(w["outside"] + "/archive.zip").load_module("packed")


def escape_load_a_library(w):
    return ctypes.CDLL(w["outside"] + "/library.so")


def escape_take_a_secret_of_the_environment(w):
    return "MOATBENCH_SECRET" in os.environ


def escape_take_a_secret_past_python(w):
    libc.getenv.restype = ctypes.c_char_p
    return libc.getenv(b"MOATBENCH_SECRET")


def escape_map_an_executable_file(w):
    with open("code", "w+b") as file:
        file.write(b"\xc3" * 4096)
        file.flush()
        return mmap.mmap(file.fileno(), 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC)
