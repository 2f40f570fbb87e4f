"""What the store keeps of a prepared case beside its arrays.

Comes in: the files a case was prepared from, and what was done with them. Goes out: `Record`, which is NAME.json.
"""

from __future__ import annotations

from typing import Final, Literal

from autoseg.frozen import Frozen
from autoseg.preprocessing.placement import Placement

FORMAT: Final = 4


class Source(Frozen):
    """A file a case was prepared from, as it was then.

    Attributes:
        path: absolute; of a file that is a link, the link.
        size: bytes.
        modified_ns: time of its last change, nanoseconds since 1970.
        sha256: of its content; the same where a file was only copied or touched.
    """

    path: str
    size: int
    modified_ns: int
    sha256: str


class Refined(Frozen):
    """What a previous stage's prediction made of a case.

    Attributes:
        prediction: the file.
        found: whether all that was looked for was predicted.
        voxels: of each target, in the label map.
        outside: those of them that the prepared image does not show.
        covering_mm: the least size of a box of fixed size that shows all; None where there is none.
    """

    prediction: Source
    found: bool
    voxels: dict[str, int]
    outside: dict[str, int]
    covering_mm: tuple[float, float, float] | None


class Record(Frozen):
    """What a prepared case was made from, and how it lies on its image.

    Attributes:
        format: version of the files of a case.
        sources: the image files, then the label map.
        shape: of the prepared image, (channels, z, y, x).
        located: for each of `labels.targets`, how many of its voxels `locations` holds; 0 where the
            case has none of it.
        sizes: bytes of the files of image, labels and locations: they are not waited for when they are written,
            and a power cut may shorten them.
        placement: of the prepared image on the file's grid.
        refined: how a previous stage's prediction cropped or masked it, if one did.
    """

    format: Literal[4] = FORMAT
    sources: tuple[Source, ...]
    shape: tuple[int, int, int, int]
    located: tuple[int, ...]
    sizes: tuple[int, int, int]
    placement: Placement
    refined: Refined | None = None
