"""Verdicts, form and bounds of the verifiers."""

import time

import pytest

from tasks.base import Item
from tasks.mini import MiniTask
from tasks.mini.interpreter import MAX_DEPTH, MAX_LIST, ProgramError, parse, run

TASK = MiniTask()
CHAIN = Item("c", "chain", 2, "3 +4 *3 ?", "1")
CODE = Item("d", "code", 2, "C flip order ?", "sort ( rev ( x ) )", payload={"inputs": [[3, 1, 2], [5, 5]]})
FACT = Item("f", "facts", 1, "what K ba bi ?", "4 2")
TOOL = Item("t", "tool", 1, "U climate 2 +1 ?", "6", payload={"table": {"weather": [0, 0, 5, 0, 0, 0, 0, 0, 0, 0]}})
CALL = "CALL [ weather temp 2 ]"


@pytest.mark.parametrize(
    ("item", "response", "verdict"),
    [
        (CHAIN, "+4 -> 7 *3 -> 1 # 1", (True, True)),
        (CHAIN, "# 1", (True, True)),
        (CHAIN, "1", (False, True)),
        (CHAIN, "# 1 1", (False, True)),
        (CHAIN, "# 1 3", (False, True)),
        (CHAIN, "# 3 1", (False, False)),
        (CHAIN, "# is 1", (False, True)),
        (CHAIN, "3 +4 gives 1", (False, True)),
        (CHAIN, "1 3", (False, False)),
        (CHAIN, "# 3 # 1", (False, True)),
        (CHAIN, "# 1 # 3", (False, False)),
        (CHAIN, "# 7", (False, False)),
        (CHAIN, "", (False, False)),
        (CODE, "# sort ( rev ( y ) )", (True, True)),
        (CODE, "# sort ( x )", (True, True)),  # agrees on every hidden list
        (CODE, "sort ( rev ( x ) )", (False, True)),
        (CODE, "rev # sort ( rev ( x ) )", (False, True)),
        (CODE, "# # sort ( rev ( x ) )", (False, True)),
        (CODE, "# sort ( rev ( x ) ) x", (False, False)),
        (CODE, "# rev ( sort ( x ) )", (False, False)),
        (CODE, "# sort ( rev ( x )", (False, False)),
        (FACT, "# 4 2", (True, True)),
        (FACT, "4 2", (False, True)),
        (FACT, "what # 4 2", (False, True)),
        (FACT, "# 4 2 4", (False, True)),
        (FACT, "# 4", (False, False)),
        (FACT, "# 2 4", (False, False)),
        (TOOL, f"{CALL} 5 +1 -> 6 # 6", (True, True)),
        (TOOL, f"{CALL} 5 # 6", (True, True)),
        (TOOL, f"+1 -> 6 {CALL} 5 # 6", (False, True)),
        (TOOL, "# 6", (False, False)),
        (TOOL, f"{CALL} 4 # 6", (False, False)),
        (TOOL, f"{CALL} 5 {CALL} 5 # 6", (False, False)),
        (TOOL, f"{CALL} 5 # 5", (False, False)),
    ],
)
def test_verdicts(item, response, verdict):
    assert TASK.verify(item, response) == verdict


@pytest.mark.parametrize(
    ("response", "right"),
    [
        ("+4 -> 7 *3 -> 1 # 1", True),
        ("3 +4 = 7 ok *3 gives 1 # 1", True),
        ("+4 *3 -> 1 # 1", True),
        ("+4 -> 7", False),
        ("+4 -> 8 *3 -> 1 # 1", False),
        ("*3 -> 9 +4 -> 3 # 3", False),
        ("+4 -> 7 +4 -> 1 # 1", False),
        ("# 1", None),
        ("7 1 # 1", True),
        ("1 # 1", True),
        ("1 7 # 1", False),
        ("2 # 1", False),
    ],
)
def test_audit_of_stated_steps(response, right):
    assert TASK.audit(CHAIN, response) is right


@pytest.mark.parametrize(
    ("trace", "right"),
    [
        ("+4 -> 1 & 6 *3 -> 1", True),
        ("+4 -> 2 & 5 *3 -> 1", True),
        ("+4 -> 9 & 8 ok *3 -> 1 & 0", True),
        ("+4 -> 1 & 5 *3 -> 1", False),
        ("+4 -> 1 & *3 -> 1", False),
        ("+4 -> 7 & *3 -> 1", False),
        ("1 & 6 1", True),
        ("1 & 5 1", False),
        ("7 2 & 9", True),
    ],
)
def test_a_state_may_be_the_sum_of_two_digits(trace, right):
    assert TASK.audit(CHAIN, f"{trace} # 1") is right


def test_audit_counts_what_a_merge_leaves_out():
    audit = TASK.parts["chain"].audit(CHAIN, ("+4", "*3", "->", "1", "#", "1"))
    assert audit == (1, 0, 1, True)


@pytest.mark.parametrize(
    ("generated", "result"),
    [
        (CALL, "5"),
        (f"{CALL} 5", None),
        ("CALL [ weather price 2 ]", "none"),
        ("CALL [ oracle temp 2 ]", "none"),
        ("]", "none"),
        ("# 3", None),
        ("", None),
    ],
)
def test_tool_results(generated, result):
    assert TASK.run_tool(TOOL, generated) == result
    assert TASK.run_tool(CHAIN, generated) is None


@pytest.mark.parametrize(
    "program",
    [
        "",
        "x",
        "(",
        "rev",
        "rev ( )",
        "rev ( x",
        "rev ( x ) )",
        "rev ( q )",
        "eval ( x )",
        "__import__ ( x )",
        "rev ( x ) rev ( x )",
        "rev ( rev x ) )",
        " ".join(["rev ("] * 5000),
        " ".join([*["rev ("] * (MAX_DEPTH + 1), "x", *[")"] * (MAX_DEPTH + 1)]),
        "rev ( x ) " * 10_000,
        "\u0000 ( x )",
    ],
)
def test_hostile_programs_are_refused(program):
    with pytest.raises(ProgramError):
        parse(program.split())
    assert TASK.verify(CODE, f"# {program}") == (False, False)


def test_programs_run_inside_their_limits():
    assert parse(["sort", "(", "rev", "(", "x", ")", ")"]) == ("rev", "sort")
    assert run(("acc", "dbl", "inc"), [1, 2, 3]) == [3, 7, 3]
    assert run(("tail", "init", "uniq"), []) == []
    assert run(("rot", "neg"), [1, 2, 3]) == [7, 6, 8]
    assert run(("dif", "odd"), [1, 2, 0, 5]) == [1, 5]
    assert run(("rot", "dif"), []) == []
    with pytest.raises(ProgramError):
        run(("rev",), [0] * (MAX_LIST + 1))


@pytest.mark.parametrize("item", [CHAIN, CODE, FACT, TOOL], ids=lambda item: item.family)
@pytest.mark.parametrize(
    "text", ["9 " * 10**5, "9" * 10**6, "# " * 10**5, "( " * 10**5, "rev ( " * 10**5, "CALL [ ] " * 10**5]
)
def test_huge_responses_are_judged_in_bounded_time(item, text):
    started = time.process_time()
    assert TASK.verify(item, text) == (False, False)
    assert TASK.verify(item, f"# {text}") == (False, False)
    TASK.audit(item, text)
    assert time.process_time() - started < 5


@pytest.mark.parametrize(
    ("item", "response", "formed"),
    [
        (CHAIN, "+4 -> 7 *3 -> 1 # 1", True),
        (CHAIN, "# 7", True),  # wrong, and well formed
        (CHAIN, "# 7 1", False),
        (CHAIN, "# 7 # 1", False),
        (CHAIN, "1", False),
        (CODE, "# rev ( sort ( y ) )", True),
        (CODE, "# rev ( sort ( y )", False),
        (CODE, "rev # sort ( x )", False),
        (CODE, "", False),
        (FACT, "# 9 9", True),
        (FACT, "# 9", False),
        (FACT, "9 9", False),
        (TOOL, f"{CALL} 5 +1 -> 6 # 6", True),
        (TOOL, f"{CALL} 5 # 0", True),
        (TOOL, "CALL [ wind speed 9 ] 3 # 1", False),
        (TOOL, "CALL [ weather temp 2 # 1", False),
        (TOOL, "# 6", False),
        (TOOL, f"+1 {CALL} 5 # 6", False),
        (TOOL, f"{CALL} 5 # 6 6", False),
    ],
)
def test_form_is_told_from_content(item, response, formed):
    assert TASK.formed(item, response) is formed
