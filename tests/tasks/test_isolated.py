"""What an isolated program can do, what stops it, what is left of it, and where isolation is refused."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from configs.errors import ConfigError
from tasks import isolated
from tasks.isolated import MECHANISMS, OUTPUT_BYTES, IsolatedRun, mechanism, run_isolated
from tasks.syscall_filter import syscall_filter

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module", params=MECHANISMS)
def kind(request: pytest.FixtureRequest) -> str:
    """A mechanism that this machine has."""
    try:
        run_isolated("", seconds=10, memory_mb=256, isolation=request.param)
    except ConfigError as error:
        pytest.skip(str(error))
    return str(request.param)


def run(program: str, kind: str, stdin: str = "", seconds: float = 20, memory_mb: int = 256) -> IsolatedRun:
    return run_isolated(program, stdin=stdin, seconds=seconds, memory_mb=memory_mb, isolation=kind)


def test_a_program_has_its_input_the_library_and_a_folder(kind: str) -> None:
    program = """
import collections, dataclasses, datetime, decimal, fractions, functools, hashlib, heapq, itertools, json, math, random, re
import base64, bz2, gzip, lzma, statistics, string, sys, tempfile, typing, uuid

@dataclasses.dataclass
class Point:
    x: int

with open("note", "w") as file:
    file.write(input())
with open("note") as file:
    print(file.read(), json.dumps(sys.stdin.read()), Point(3), __name__)
with tempfile.TemporaryFile() as file:
    file.write(b"x")
print(hashlib.sha256(b"").hexdigest()[:6], gzip.decompress(gzip.compress(b"zip")), uuid.UUID(int=1).int)
print("told", file=sys.stderr)
sys.exit(7)
"""
    result = run(program, kind, stdin="één\ntwo\nthree")
    expected = "één \"two\\nthree\" Point(x=3) __main__\ne3b0c4 b'zip' 1\n"
    assert result == IsolatedRun(7, expected, "told\n", timed_out=False)


def test_an_error_is_shown_with_the_programs_frames_alone(kind: str) -> None:
    result = run("def f():\n    1 / 0\nf()", kind)
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == "ZeroDivisionError: division by zero"
    assert result.stderr.count("File") == 2
    assert "isolated_child" not in result.stderr


def test_large_input_comes_whole_and_unread_input_is_no_obstacle(kind: str) -> None:
    text = "0123456789" * 100_000
    assert run("import sys; print(len(sys.stdin.read()))", kind, stdin=text).stdout == "1000000\n"
    assert run("print(1)", kind, stdin=text).stdout == "1\n"


SLOW = "import time\nend = time.monotonic() + 0.5\nwhile time.monotonic() < end: pass\n"
TIME = {
    "loop": SLOW,
    "loop in C": "sum(range(2 * 10**7))",
    "sleep": "import time; time.sleep(0.5)",
    "ignored signals": f"""
import signal
for number in set(signal.valid_signals()) - {{signal.SIGKILL, signal.SIGSTOP}}:
    signal.signal(number, signal.SIG_IGN)
{SLOW}""",
    "caught everything": f"""
try:
    {SLOW.replace(chr(10), chr(10) + "    ")}
except BaseException:
    pass""",
    "at the end": "import atexit, time\natexit.register(print, 'ESCAPED')\natexit.register(time.sleep, 0.5)",
    "a destructor": """
import time
class Slow:
    def __del__(self, wait=time.sleep):
        wait(0.5)
        print('ESCAPED')
slow = Slow()""",
    "closed outputs": "import os, time\nkept = os.dup(1)\nos.closerange(0, 3)\ntime.sleep(0.5)\nos.dup2(kept, 1)",
}
SPACE = {
    "an array": "x = bytearray(2**28)",
    "a map": "import mmap\nx = mmap.mmap(-1, 2**28)",
    "a list": "x = [bytes(10**6) for _ in range(500)]",
    "a string": "x = 'x' * 2**28",
    "a file": "open('large', 'wb').truncate(2**27)",
    "files": "import time\nfor n in range(40):\n    open(str(n), 'wb').write(bytes(10**6))\ntime.sleep(0.3)",
    "many files": "import time\nfor n in range(2000):\n    open(str(n), 'w').close()\ntime.sleep(0.3)",
    "open files": "import os\nx = [os.dup(1) for _ in range(100)]",
    "a folder": "import os\nos.mkdir('folder')",
    "output": f"print('x' * {4 * OUTPUT_BYTES})",
    "output of errors": f"import sys\nsys.stderr.write('x' * {4 * OUTPUT_BYTES})",
}


@pytest.mark.parametrize("name", TIME)
def test_time_is_limited(name: str, kind: str) -> None:
    result = run(TIME[name] + "\nprint('ESCAPED')" * ("ESCAPED" not in TIME[name]), kind, seconds=0.1)
    assert "ESCAPED" not in result.stdout
    assert (result.returncode, result.timed_out) == (None, True)


@pytest.mark.parametrize("name", SPACE)
def test_space_is_limited(name: str, kind: str) -> None:
    result = run(SPACE[name] + "\nprint('ESCAPED')", kind)
    assert "ESCAPED" not in result.stdout
    assert result.returncode != 0
    assert not result.timed_out
    assert len(result.stdout) <= OUTPUT_BYTES
    assert len(result.stderr) <= OUTPUT_BYTES


@pytest.mark.parametrize("name", [*TIME, *SPACE])
def test_without_limits_it_goes_on(name: str, tmp_path: Path) -> None:
    program = {**TIME, **SPACE}[name]
    program += "\nprint('ESCAPED')" * ("ESCAPED" not in program)
    ended = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, cwd=tmp_path, check=True)
    assert ended.stdout.endswith(b"ESCAPED\n")


def test_processor_time_is_limited_where_the_clock_is_not(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit of its own in the kernel, here of one second: the clock's is a good while later."""
    monkeypatch.setattr(isolated, "CPU_FACTOR", 1 / 300)
    started = time.monotonic()
    result = run("while True: pass", kind, seconds=300)
    assert (result.returncode, result.timed_out) == (None, True)
    assert time.monotonic() - started < 290


def test_memory_and_recursion_end_the_program_alone(kind: str) -> None:
    deep = run("import sys\nsys.setrecursionlimit(10**9)\ndef f(): return [*map(lambda _: f(), [1])]\nf()", kind)
    assert deep.returncode not in (0, None)
    crash = run("import ctypes; ctypes.string_at(0)", kind)
    assert crash.returncode == -11
    abort = run("import os; os.abort()", kind)
    assert abort.returncode is not None
    assert abort.returncode < 0


def test_a_verdict_cannot_be_forged_past_the_outputs(kind: str) -> None:
    program = """
import os, sys
for number in range(3, 99):
    try:
        os.write(number, b'ready\\n0 0.0\\n')
    except OSError:
        pass
sys.exit(3)
"""
    assert run(program, kind).returncode == 3


def test_the_library_cannot_be_changed(kind: str) -> None:
    """Not even by whom it belongs to: the mount is read-only, or Landlock says no."""
    program = """
import errno, os
try:
    open(os.path.dirname(os.__file__) + "/escaped_from_isolation.py", "x")
except OSError as error:
    print(errno.errorcode[error.errno])
"""
    assert run(program, kind).stdout.strip() == {"namespaces": "EROFS", "landlock": "EACCES"}[kind]


def test_names_of_files_are_visible_to_landlock_alone(tmp_path: Path, kind: str) -> None:
    """As the documentation says; what is in them is not."""
    tmp_path.chmod(0o755)
    seen = run(f"import os; print(os.path.exists({str(tmp_path)!r}))", kind).stdout
    assert seen == f"{kind == 'landlock'}\n"


def test_nothing_is_left(kind: str) -> None:
    megabytes = 1000 + os.getpid() % 1000
    mark = str(megabytes * 2**20).encode()
    before = set(Path(tempfile.gettempdir()).glob("isolated-*"))
    waiting = threading.Thread(target=run, args=("import time; time.sleep(60)", kind, "", 1, megabytes))
    waiting.start()
    await_that(lambda: len(processes(mark)) == 2)
    waiting.join()
    assert processes(mark) == []
    assert set(Path(tempfile.gettempdir()).glob("isolated-*")) <= before


def test_it_dies_with_us(kind: str) -> None:
    megabytes = 2000 + os.getpid() % 1000
    mark = str(megabytes * 2**20).encode()
    ours = f"run_isolated('import time; time.sleep(60)', seconds=60, memory_mb={megabytes}, isolation={kind!r})"
    parent = subprocess.Popen([sys.executable, "-c", f"from tasks.isolated import run_isolated\n{ours}"], cwd=ROOT)
    await_that(lambda: len(processes(mark)) == 2)
    parent.kill()
    parent.wait()
    await_that(lambda: processes(mark) == [])


def await_that(condition: object) -> None:
    deadline = time.monotonic() + 30
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.01)


def processes(mark: bytes) -> list[int]:
    """Process ids whose command line has the mark as a word."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if mark in words:
            found.append(int(folder.name))
    return found


def test_many_at_once(kind: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        runs = list(pool.map(lambda n: run(f"print({n} * int(input()))", kind, stdin="7"), range(12)))
    assert [int(result.stdout) for result in runs] == [7 * n for n in range(12)]


def test_limits_alone_are_what_the_user_says(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    assert run(f"print(open({str(tmp_path / 'file')!r}).read())", "limits").stdout == "mine\n"
    assert run(TIME["loop"], "limits", seconds=0.2).timed_out
    assert run(SPACE["an array"], "limits").returncode == 1
    assert run("import os; print(dict(os.environ))", "limits").stdout == "{}\n"


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"seconds": 0.0, "memory_mb": 256}, "seconds"),
        ({"seconds": float("nan"), "memory_mb": 256}, "seconds"),
        ({"seconds": 1.0, "memory_mb": 1}, "memory_mb"),
        ({"seconds": 1.0, "memory_mb": 256, "isolation": "ful"}, "isolation"),
    ],
)
def test_invalid_limits_name_their_field(given: dict[str, object], name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        run_isolated("", **given)  # type: ignore[arg-type]
    assert caught.value.field == name


REFUSING = """
import ctypes, struct, sys
from configs.errors import ConfigError
from tasks.isolated import mechanism, run_isolated
code = b"".join(struct.pack("HBBI", *step) for step in {steps})
class Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))
libc = ctypes.CDLL(None)
zero = ctypes.c_ulong(0)
assert libc.prctl(38, ctypes.c_ulong(1), zero, zero, zero) == 0
assert libc.prctl(22, ctypes.c_ulong(2), ctypes.byref(Program(len(code) // 8, code)), zero, zero) == 0
try:
    print(mechanism(), run_isolated("print(1)", seconds=20, memory_mb=256).stdout)
except ConfigError as error:
    print(error)
"""
UNSHARE, LANDLOCK = 272 if os.uname().machine == "x86_64" else 97, 444


def where_refused(*calls: int) -> str:
    """What is said where the kernel refuses these calls, as containers have it."""
    steps = [(0x20, 0, 0, 0)]
    for call in calls:
        steps += [(0x15, 0, 1, call), (0x06, 0, 0, 0x00050001)]
    program = REFUSING.format(steps=[*steps, (0x06, 0, 0, 0x7FFF0000)])
    return subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_the_first_mechanism_that_is_there_is_taken() -> None:
    try:
        first = mechanism()
        run("", "landlock")
    except ConfigError as error:
        pytest.skip(str(error))
    assert first == next(kind for kind in MECHANISMS if kind in (first, "landlock"))
    assert where_refused(UNSHARE).split() == ["landlock", "1"]


def test_a_machine_with_none_is_refused_with_what_to_do() -> None:
    said = where_refused(UNSHARE, LANDLOCK)
    assert said.startswith("isolation = 'full': cannot be had on this machine (namespaces: ")
    assert "Operation not permitted" in said
    assert "isolation=limits" in said
    assert "max_user_namespaces" in said


def test_an_unknown_machine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert syscall_filter("riscv64") == b""
    monkeypatch.setattr(isolated, "syscall_filter", lambda: b"")
    with pytest.raises(ConfigError, match="neither Linux on x86-64 nor on 64-bit ARM") as caught:
        run("", MECHANISMS[0])
    assert caught.value.field == "isolation"
    assert struct.calcsize("HBBI") == 8
