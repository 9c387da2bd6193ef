"""Places besides ``configs/`` that configurations come from: packages that a user names in ``hydra.searchpath``."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence

from configs.trust import trust

SEARCH_PATH = "hydra.searchpath"
OWN_PACKAGES = f"own packages: {SEARCH_PATH}=[pkg://PACKAGE.configs]"
_PACKAGE = re.compile(r"pkg://([\w.]+)")


def admit(arguments: Sequence[str]) -> None:
    """Let classes be named of the packages that these overrides look into, and find packages in the present folder. The
    folder goes last, so that a file in it hides no installed module.

    Args:
        arguments: as the user typed them: a YAML file does not say whom to trust.
    """
    for place in (a for a in arguments if a.lstrip("+").startswith(f"{SEARCH_PATH}=")):
        for package in _PACKAGE.findall(place):
            trust(package)
            if (here := os.getcwd()) not in sys.path:
                sys.path.append(here)


def forgotten(arguments: Sequence[str]) -> str:
    """What goes with "there is no such choice": how to name places of one's own, where these overrides name none."""
    return "" if any(a.lstrip("+").startswith(f"{SEARCH_PATH}=") for a in arguments) else OWN_PACKAGES
