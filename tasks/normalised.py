"""A question's text without what does not change the question."""

from __future__ import annotations

import re
import unicodedata

_ALIKE = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u201b\u2032`\u00b4", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u2033\u00ab\u00bb", '"'),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212", "-"),
    }
)
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060\ufeff]")
_RAISED = re.compile("[\u2070\u00b9\u00b2\u00b3\u2074-\u2079]")
_AROUND_MARKS = re.compile(r"\s*([^\w\s])\s*")


def normalised(text: str) -> str:
    """``text`` without what does not change a question: case, kinds of white space, of quotation marks and of dashes,
    Unicode's compatibility forms, invisible characters, white space beside punctuation, and punctuation that ends the text.
    Raised digits stay apart from plain ones."""
    raised = _RAISED.sub(lambda digit: f"^{unicodedata.digit(digit.group())}", text)
    raised = _INVISIBLE.sub("", raised.translate(_ALIKE))
    plain = unicodedata.normalize("NFKC", raised).translate(_ALIKE).casefold()
    return _AROUND_MARKS.sub(r"\1", " ".join(plain.split())).rstrip(".?!:;, ")
