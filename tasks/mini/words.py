"""The closed vocabulary of the mini world. Word lists only; what they mean is in the families' files."""

from __future__ import annotations

DIGITS = tuple("0123456789")

FUNCTIONS = ("+1", "+3", "+4", "+6", "+7", "*3", "*7", "*9")
"""Bijections of Z10."""

PUBLIC_FUNCTIONS = ("+1", "+4", "*3", "*9")
"""The functions that public data is about."""

SEPARATORS = ("->", "=", "gives")
CHECK = "ok"
JOIN = "&"
"""Between the two digits that a state is written as the sum of."""
MARK = "#"
ASK = "?"

CODE = "C"
LIST_FUNCTIONS: dict[str, tuple[str, str, str]] = {
    "rev": ("reverse", "flip", "mirror"),
    "sort": ("order", "arrange", "rank"),
    "inc": ("increment", "bump", "raise"),
    "dbl": ("double", "twice", "scale"),
    "tail": ("behead", "skip", "rest"),
    "init": ("chop", "trim", "shorten"),
    "uniq": ("unique", "dedupe", "distinct"),
    "acc": ("accumulate", "total", "prefix"),
    "rot": ("rotate", "cycle", "turn"),
    "neg": ("negate", "invert", "oppose"),
    "dif": ("differ", "change", "delta"),
    "odd": ("odds", "uneven", "filter"),
}
"""Function as written in code -> its three names in prompts."""
PUBLIC_LIST_FUNCTIONS = ("rev", "inc", "tail", "uniq", "rot", "neg")
VARIABLES = ("x", "y", "z")
OPEN, CLOSE = "(", ")"

FACT = "K"
LEADS = ("what", "which", "tell", "name", "give", "say")
SYLLABLES = tuple(c + v for c in "bdfgkl" for v in "aio")
"""A key of the fact table is two of these."""

USE = "U"
TOOLS: dict[str, tuple[str, tuple[str, str, str]]] = {
    "weather": ("temp", ("climate", "forecast", "sky")),
    "stock": ("price", ("market", "share", "quote")),
    "flights": ("gate", ("airport", "plane", "travel")),
    "roster": ("shift", ("staff", "duty", "team")),
    "hotel": ("room", ("lodging", "inn", "stay")),
    "library": ("shelf", ("book", "novel", "author")),
}
"""Tool -> its column and its three names in prompts."""
PUBLIC_TOOLS = ("weather", "flights", "hotel")
CALL, CALL_OPEN, CALL_CLOSE = "CALL", "[", "]"
NO_RESULT = "none"

WORDS: tuple[str, ...] = (
    *DIGITS,
    *FUNCTIONS,
    *SEPARATORS,
    CHECK,
    MARK,
    ASK,
    CODE,
    *LIST_FUNCTIONS,
    *(name for names in LIST_FUNCTIONS.values() for name in names),
    *VARIABLES,
    OPEN,
    CLOSE,
    FACT,
    *LEADS,
    *SYLLABLES,
    USE,
    *TOOLS,
    *(column for column, _ in TOOLS.values()),
    *(name for _, names in TOOLS.values() for name in names),
    CALL,
    CALL_OPEN,
    CALL_CLOSE,
    NO_RESULT,
    JOIN,
)
