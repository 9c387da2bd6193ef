"""Errors of writing that say nothing against the program: there is no room, or writing is not allowed."""

from __future__ import annotations

import errno

READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)
"""Writing is not allowed."""

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""There is no room: the disk, a quota or a limit on the size of files (``ulimit -f``)."""
