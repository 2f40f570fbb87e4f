"""What kind of image a channel is, from its name or from its intensities."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Literal

from autoseg.fingerprint.model import ImageIntensities

WORD_ENDS = re.compile(r"(?<=[a-z])(?=[A-Z])|[^A-Za-z0-9]+")  # "abdominal_ct", "portalCT", "CT (venous)"

CT_WORD = re.compile("ct|cta|ccta|cect|ncct|hrct|ldct")

# Words for images whose numbers are not Hounsfield units; a map computed from a CT is one of them.
OTHER_WORD = re.compile(
    r"""
    mr | mr[ait] | fmri | cinemri | cine | t[12] (w|wi|c|ce|gd|f|n|star|map)* | pdw? | flair | dwi | adc | swi | dti
    | dce | asl | bold | stir | mprage | tse | gre | hbv                                        # magnetic resonance
    | pet | suv | fdg | spect                                                                   # nuclear medicine
    | us | ultrasound | sonography                                                              # ultrasound
    | xray | cr | cxr | dx | drr | radiograph | mammography | mammogram                         # X-ray, in projection
    | oct | fundus | rgb | red | green | blue | gr[ae]y(scale)?                                 # optics
    | microscopy | s?em | tem | fluorescence | brightfield | dapi | gfp | histology | wsi       # microscopy
    | cbf | cbv | mtt | ttp | tmax | perfusion                                                  # maps computed from CT
    """,
    re.VERBOSE,
)

# Hounsfield units begin with air, −1000; scanners add some noise, or pad with −1024, −2000, −2048, −3000, −3024.
AIR = (-3100.0, -900.0)
# Every patient has denser bone than this; metal goes up to 32767 in what a file can hold.
BONE = (300.0, 32767.0)

NamedAs = Literal["CT", "other", "silent", "both"]


def named_as(channel: str) -> NamedAs:
    """What the name of a channel says it is.

    "both" names a CT and something else, "PET/CT" or "CT_CBF": the name alone does not tell.

    >>> [named_as(name) for name in ("CT scan", "abdominal_ct", "T1w", "image", "PET/CT")]
    ['CT', 'CT', 'other', 'silent', 'both']
    """
    words = [word.lower() for word in WORD_ENDS.split(channel) if word]
    pairs = [" ".join(pair) for pair in pairwise(words)]
    is_ct = any(CT_WORD.fullmatch(word) for word in words) or "computed tomography" in pairs
    is_other = any(OTHER_WORD.fullmatch(word) for word in words) or "x ray" in pairs
    if is_ct and is_other:
        return "both"
    return "CT" if is_ct else "other" if is_other else "silent"


def in_hounsfield_units(image: ImageIntensities) -> bool:
    """Whether intensities are those of a CT: whole numbers that begin with air and go beyond bone.

    The whole image is asked, not its foreground, which has no air. A CT that was cut to an organ,
    windowed, shifted or resampled to fractions is not recognised: better one image too many scaled by
    its own mean than a map of fields or phases, which may span as much, clipped as if it were a CT.

    >>> in_hounsfield_units(ImageIntensities(min=-1024, max=3071, whole_numbers=1.0))
    True
    >>> in_hounsfield_units(ImageIntensities(min=0, max=1200, whole_numbers=1.0))
    False
    """
    return AIR[0] <= image.min <= AIR[1] and BONE[0] <= image.max <= BONE[1] and image.whole_numbers > 0.5
