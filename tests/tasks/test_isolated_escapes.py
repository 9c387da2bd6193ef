"""Over a hundred ways out of an isolated process, tried under each mechanism: all fail.

Each is also tried by a plain process, where most get out: a way that never works would prove nothing by failing.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import socket
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path
from typing import Any

import iniconfig
import pytest

from configs.errors import ConfigError
from tasks.isolated import MECHANISMS, run_isolated
from tests.tasks.escapes import PROGRAM

SECRET = "what nobody in there may know"
ROOT = Path(__file__).parents[2]
NAMES = [
    line.split("(")[0].removeprefix("def escape_") for line in PROGRAM.splitlines() if line.startswith("def escape_")
]

CHANGED = "change_anything_outside"

CLOSED_ANYWAY = {
    "make_a_device": "for root alone",
    "change_root": "for root alone",
    "send_raw_packets": "for root alone",
    "listen_to_all_packets": "for root alone",
    "become_root": "for root alone",
    "join_a_group": "for root alone",
    "name_the_machine": "for root alone",
    "watch_all_files": "for root alone",
    "mount": "for root alone",
    "mount_by_the_newer_call": "for root alone",
    "nest_a_mount_namespace": "for root alone",
    "nest_a_network_namespace": "for root alone",
    "enter_the_parents_namespaces": "for root alone",
    "load_code_into_the_kernel": "for root alone",
    "lift_the_limit_of_memory": "not where a limit is set",
    "nest_a_user_namespace": "not on every kernel",
    "read_the_kernels_log": "not on every kernel",
    "handle_faults_of_memory": "not on every kernel",
    "count_events": "not on every kernel",
    "keep_a_key": "not on every kernel",
    "queue_input_and_output_in_a_ring": "not on every kernel",
    "make_a_named_queue": "not on every kernel",
    "compare_with_the_parent": "not on every kernel",
    "read_the_memory_of_the_parent": "not on every kernel",
    "read_the_parents_memory": "not on every kernel",
    "talk_to_the_host_of_the_machine": "not on every kernel",
    "use_the_kernels_cryptography": "not on every kernel",
    "listen_by_ipv6": "not on every kernel",
    "call_as_a_program_of_32_bits": "not on every kernel",
    "call_with_short_pointers": "not on every kernel",
    "name_a_file_by_its_handle": "not on every file system",
    "mark_a_file": "not on every file system",
    "write_an_unnamed_file": "not on every file system",
    "read_packages_within_the_library": "not in every installation",
    "write_into_the_library": "not tried without isolation: it would write there",
}
"""Ways that may also fail without isolation, and why; all others must succeed there."""


class World:
    """What lies outside: files, sockets that listen, an open descriptor, a secret in memory and one in the environment."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "outside"
        self.folder.mkdir()
        for name in ("secret", "appended", "overwritten", "deleted", "moved", "mode", "truncated"):
            (self.folder / name).write_text(SECRET)
        with zipfile.ZipFile(self.folder / "archive.zip", "w") as archive:
            archive.writestr("packed.py", "")
        shutil.copy(sysconfig.get_path("stdlib") + "/../" + self._library(), self.folder / "library.so")
        self.inherited = os.open(self.folder / "secret", os.O_RDONLY)
        os.set_inheritable(self.inherited, True)
        self.memory = ctypes.create_string_buffer(SECRET.encode().ljust(40))
        self.sockets = [socket.socket(*kind) for kind in ((2, 1), (2, 2), (1, 1), (1, 1))]
        tcp, udp, path, abstract = self.sockets
        self.abstract = f"moatbench-{os.getpid()}-{folder.name}"
        for server, address in ((tcp, ("127.0.0.1", 0)), (udp, ("127.0.0.1", 0)), (abstract, "\0" + self.abstract)):
            server.bind(address)
        here = os.open(self.folder, os.O_RDONLY)
        path.bind(f"/proc/self/fd/{here}/socket")  # a path of a socket has 107 characters at most
        os.close(here)
        for server in (tcp, path, abstract):
            server.listen()

    @staticmethod
    def _library() -> str:
        import _ctypes

        return os.path.relpath(_ctypes.__file__, sysconfig.get_path("stdlib") + "/..")

    def told(self, isolated: bool) -> str:
        """What a program is told of it."""
        return json.dumps(
            {
                "isolated": isolated,
                "secret": SECRET,
                "outside": str(self.folder),
                "file": str(self.folder / "secret"),
                "pid": os.getpid(),
                "address": ctypes.addressof(self.memory),
                "tcp": self.sockets[0].getsockname()[1],
                "udp": self.sockets[1].getsockname()[1],
                "abstract": self.abstract,
                "project": str(ROOT),
                "packages": str(Path(iniconfig.__file__).parents[1]),
            }
        )

    def state(self) -> dict[str, Any]:
        """All that a program may have changed."""
        return {
            path.name: (path.lstat().st_mode, path.lstat().st_mtime_ns, path.is_file() and path.read_bytes())
            for path in self.folder.iterdir()
        }

    def close(self) -> None:
        """Shut what is open."""
        os.close(self.inherited)
        for server in self.sockets:
            server.close()


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, bool] | ConfigError]:
    """Who got out, by what isolates ("nothing" for a plain process), or why that cannot be had."""
    found: dict[str, dict[str, bool] | ConfigError] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOATBENCH_SECRET", SECRET)
        for kind in (*MECHANISMS, "nothing"):
            world = World(tmp_path_factory.mktemp(kind))
            before = world.state()
            try:
                if kind == "nothing":
                    found[kind] = in_the_open(world, tmp_path_factory.mktemp("open"))
                    continue
                run = run_isolated(PROGRAM, stdin=world.told(True), seconds=60, memory_mb=512, isolation=kind)
                assert run.returncode == 0, run.stderr
                found[kind] = {**json.loads(run.stdout), CHANGED: world.state() != before}
            except ConfigError as error:
                found[kind] = error
            finally:
                world.close()
    return found


def in_the_open(world: World, folder: Path) -> dict[str, bool]:
    (folder / "program.py").write_text(PROGRAM)
    run = subprocess.run(
        [sys.executable, "-I", "-S", "program.py"],
        input=world.told(False).encode(),
        capture_output=True,
        cwd=folder,
        close_fds=False,
        check=True,
    )
    return json.loads(run.stdout)  # type: ignore[no-any-return]


@pytest.mark.parametrize("kind", MECHANISMS)
@pytest.mark.parametrize("name", [*NAMES, CHANGED])
def test_a_way_out_is_closed(name: str, kind: str, outcomes: dict[str, dict[str, bool] | ConfigError]) -> None:
    outcome = outcomes[kind]
    if isinstance(outcome, ConfigError):
        pytest.skip(str(outcome))
    assert outcome[name] is False


@pytest.mark.parametrize("name", [name for name in NAMES if name not in CLOSED_ANYWAY])
def test_it_is_open_without_isolation(name: str, outcomes: dict[str, dict[str, bool] | ConfigError]) -> None:
    outcome = outcomes["nothing"]
    assert not isinstance(outcome, ConfigError)
    assert outcome[name] is True


def test_ways_are_many_and_few_are_closed_anyway() -> None:
    assert len(NAMES) == len(set(NAMES)) >= 100
    assert set(CLOSED_ANYWAY) < set(NAMES)
    assert len(set(NAMES) - set(CLOSED_ANYWAY)) >= 70
