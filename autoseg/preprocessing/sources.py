"""Whether a file is the one that something was prepared from.

Comes in: paths. Goes out: `Source`, what a record says of a file.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from autoseg.errors import DatasetError
from autoseg.preprocessing.record import Source


def describe_source(path: Path) -> Source:
    """A file as it is now; reads all of it.

    Raises:
        DatasetError: it cannot be read.
    """
    try:
        name, size, modified_ns = _stamp(path)
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as problem:
        raise DatasetError(
            f"{problem.filename}: cannot be read ({problem.strerror}). Restore the file, or leave the case out."
        ) from None
    return Source(path=name, size=size, modified_ns=modified_ns, sha256=digest)


def is_untouched(path: Path, source: Source) -> bool:
    """Whether a file is at a glance the one that was described: by its path, size and time of change."""
    try:
        return _stamp(path) == (source.path, source.size, source.modified_ns)
    except OSError:
        return False


def _stamp(path: Path) -> tuple[str, int, int]:
    """Of a link its own name, which says the format: what it points at may be called anything."""
    named = path.parent.resolve() / path.name
    status = named.stat()
    return str(named), status.st_size, status.st_mtime_ns
