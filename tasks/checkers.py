"""Named answer checkers: does this answer say the same as the reference? Answers are untrusted."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping

from configs.extras import needs
from tasks.numbers import number
from tasks.worker import call

LONGEST_FORMULA = 300
"""Characters of an answer that `math_verify` reads; twice the reference where that is longer."""

Checker = Callable[[str, str], bool]

_STYLE = re.compile(r"\\(?:text|textbf|mathrm|mathbf|boxed)\s?\{")
_WRAPPING = " \t\n*_`$\"'{}"
_OPTION = re.compile(
    r"(?:(?:option|choice|answer)\s+)?[(\[]?([A-Za-z])(?:\s*$|\s*[)\].:]|[*_`\"'}]|\s[-–]\s)", re.IGNORECASE
)
_PARENTHESISED = re.compile(r"\(([A-Za-z])\)")


def exact(answer: str, reference: str) -> bool:
    """The same text up to case and white space."""
    return _flat(answer) == _flat(reference)


def numeric(answer: str, reference: str) -> bool:
    """The same number to six digits, relative; see `tasks.numbers` for what is read as a number.
    References that are no numbers are compared as `exact` does."""
    given, wanted = number(answer), number(reference)
    if wanted is None:
        return exact(answer, reference)
    return given is not None and math.isclose(given, wanted, rel_tol=1e-6, abs_tol=1e-9)


def choice(answer: str, reference: str) -> bool:
    """The same option of a multiple choice, by its letter; see `choice_letter`. References that name no letter are compared
    as `exact` does."""
    wanted = choice_letter(reference)
    return exact(answer, reference) if wanted is None else choice_letter(answer) == wanted


def math_verify(answer: str, reference: str) -> bool:
    """Mathematically equal, by Hugging Face's math-verify (LaTeX, fractions, sets, intervals, ...), in a worker process
    with a time limit: what takes longer counts as wrong, and so does what is far longer than the reference."""
    if len(answer) > max(LONGEST_FORMULA, 2 * len(reference)):
        return False
    return call({"check": "math_verify", "answer": answer, "reference": reference}) is True


CHECKERS: Mapping[str, Checker] = {"exact": exact, "numeric": numeric, "choice": choice, "math_verify": math_verify}

JUDGE = "judge"
"""The checker that is none of these: a `tasks.text_judge.TextJudge` of the task's own decides."""


def check_installed(name: str) -> None:
    """Raise `ConfigError` where the checker's package is missing."""
    if name == "math_verify":
        needs("math_verify", "checker", name)


def choice_letter(text: str) -> str | None:
    """The letter of the option that ``text`` names: "B", "(B)", "B) Paris", "**B.**", "option B", or words with one letter
    in parentheses. None where it names none or several."""
    plain = _STYLE.sub("", text).strip(_WRAPPING)
    letters = {letter.upper() for letter in _PARENTHESISED.findall(text)}
    if len(letters) > 1:
        return None
    named = _OPTION.match(plain)
    return named[1].upper() if named else next(iter(letters), None)


def _flat(text: str) -> str:
    return " ".join(text.casefold().split())
