r"""Numbers as people write them: signs, currencies, thousands, fractions, mixed numbers, powers of ten. Text is untrusted:
reading takes time linear in it, and nothing is computed but a quotient and a power of floats."""

from __future__ import annotations

import math
import re

LONGEST = 300
"""Characters of a number; what is longer is none."""

_SIGNS = str.maketrans(
    {
        **dict.fromkeys("\u2212\u2013\u2012\ufe63\uff0d", "-"),
        **dict.fromkeys("\u00a0\u2007\u2009\u202f", " "),
        **dict.fromkeys("\u00d7\u00b7", "x"),
        "\u2044": "/",
    }
)
_RAISED = re.compile("\u207b?[\u2070\u00b9\u00b2\u00b3\u2074-\u2079]+")
_LOWERED = str.maketrans("\u207b\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079", "-0123456789")
_FRACTION = re.compile(r"\\[dt]?frac\{(\d{1,15})\}\{(\d{1,15})\}")
_TIMES = re.compile(r"\\(?:times|cdot)(?![a-z])")
_ESCAPED = re.compile(r"\\([$%])")

_WHOLE = r"(?>\d{1,3}(?:,\d{2,3})*,\d{3}(?!\d)|\d{1,3}(?:[ ]\d{3})+(?![\d/])|\d+)"
_REAL = rf"(?>{_WHOLE}(?:\.\d+)?|\.\d+)"
_POWER = r"\s?\^\s?[({]?([-+]?\d{1,4})[)}]?"
_NUMBER = re.compile(
    rf"""
    (?<![^\W_])(?<![-.,/^)])(?<!\d[ ])  # not within a word, a range, a list or a longer expression
    ([-+]?)(?:[$€£¥]\s?)?
    (?: (\d{{1,15}})[ ](\d{{1,15}})/(\d{{1,15}})
      | ({_REAL}) (?: [eE]([-+]?\d{{1,3}}) | \s?[x*]\s?10{_POWER} | {_POWER} | \s?/\s?({_REAL}) )? )
    (?!\d|\^|[-/.,]\d|[ ]\d|[eE][-+]?\d)
    """,
    re.VERBOSE,
)


def number(text: str) -> float | None:
    """The one number that ``text`` is, or None; a currency or per-cent sign and a final full stop do not count."""
    if len(text) > LONGEST:
        return None
    plain = _plain(text).strip().removesuffix(".").strip(" $€£¥%")
    found = _NUMBER.fullmatch(re.sub(r"^([-+])\s+", r"\1", plain))
    return None if found is None else _value(found)


def last_number(text: str) -> str:
    """The last number in ``text``, as it is written there up to signs and spaces; "" where there is none. Ranges ("3-5") and
    digits apart ("3 4") are no numbers."""
    last = ""
    for found in _NUMBER.finditer(_plain(text)):
        last = found.group()
    return last


def _plain(text: str) -> str:
    """With one kind of minus, space and times sign; raised digits and LaTeX fractions as they are typed."""
    text = _RAISED.sub(lambda raised: "^" + raised.group().translate(_LOWERED), text.translate(_SIGNS))
    text = _TIMES.sub("x", _ESCAPED.sub(r"\1", text))
    return _FRACTION.sub(lambda parts: f"{_space(parts)}{parts[1]}/{parts[2]}", text)


def _space(parts: re.Match[str]) -> str:
    """Between a whole number and the fraction that follows it."""
    return " " if parts.string[parts.start() - 1 : parts.start()].isdigit() else ""


def _value(found: re.Match[str]) -> float | None:
    sign, whole, over, under, top, exponent, ten, power, bottom = found.groups()
    try:
        if whole:
            value = float(whole) + float(over) / float(under)
        else:
            value = _real(top) * 10.0 ** int(exponent or ten or 0)
            value = value ** int(power or 1) / (_real(bottom) if bottom else 1.0)
    except (OverflowError, ZeroDivisionError):
        return None
    return None if not math.isfinite(value) else -value if sign == "-" else value


def _real(digits: str) -> float:
    return float(digits.replace(",", "").replace(" ", ""))
