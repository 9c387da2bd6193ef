"""The filter of system calls, interpreted: for machines that the tests do not run on too."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import pytest

from tasks.syscall_filter import NUMBERS, SECOND_ARGUMENT, syscall_filter

ALLOWED, REFUSED = 0x7FFF0000, 0x00050001
MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}


def verdict(code: bytes, number: int, architecture: int, second: int = 0) -> int:
    """What the kernel does: an interpreter of the three instructions that are used."""
    data = {0: number, 4: architecture, 24: second}
    steps = list(struct.iter_unpack("HBBI", code))
    at = held = 0
    while True:
        kind, met, unmet, value = steps[at]
        at += 1
        if kind == 0x20:
            held = data[value]
        elif kind == 0x15:
            at += met if held == value else unmet
        else:
            assert kind == 0x06
            return int(value)


@pytest.mark.parametrize("machine", MACHINES)
def test_what_is_listed_is_let_through_and_nothing_else(machine: str) -> None:
    code, column = syscall_filter(machine), list(MACHINES).index(machine)
    listed = {numbers[column]: name for name, numbers in NUMBERS.items() if numbers[column] is not None}
    for number in (*range(1024), 0x40000000 + 39):
        commands = SECOND_ARGUMENT.get(listed.get(number, ""), ())
        plain = ALLOWED if number in listed and not commands else REFUSED
        assert verdict(code, number, MACHINES[machine], second=0x5412) == plain
        for command in commands:
            assert verdict(code, number, MACHINES[machine], second=command) == ALLOWED


@pytest.mark.parametrize("machine", MACHINES)
def test_another_calling_convention_is_refused(machine: str) -> None:
    code = syscall_filter(machine)
    for architecture in {0x40000003, 0x40000028, *MACHINES.values()} - {MACHINES[machine]}:
        assert {verdict(code, number, architecture) for number in range(512)} == {REFUSED}


@pytest.mark.parametrize("machine", MACHINES)
def test_numbers_are_those_of_the_kernels_headers(machine: str) -> None:
    if not HEADERS[machine].exists():
        pytest.skip(f"{HEADERS[machine]} is not installed")
    text = HEADERS[machine].read_text().replace("__NR3264", "__NR")
    there = {name: int(number) for name, number in re.findall(r"#define __NR_(\w+)\s+(\d+)\b", text)}
    there |= {"newfstatat": there["fstatat"]} if "fstatat" in there else {}
    column = list(MACHINES).index(machine)
    for name, numbers in NUMBERS.items():
        assert numbers[column] == there.get(name), name
