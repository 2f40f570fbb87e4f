"""How intensities are to be normalised, where dataset.json says so.

    "normalization": {"0": "ct", "T2": "zscore"}       by number or name of the channel, or
    "normalization": ["ct", null]                      one entry a channel; null leaves it to the planner

Comes in: a dataset.json. Goes out: one scheme a channel, and what is wrong with the entry.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, get_args

from autoseg.dataset.dataset_json import DatasetJson
from autoseg.dataset.description import Scheme

FIELDS = ("normalization", "normalisation")

# Our words, the channel names by which nnU-Net v2 chooses, and its classes; in lower case.
SCHEMES: dict[str, Scheme] = {
    "ct": "ct",
    "ctnormalization": "ct",
    "zscore": "zscore",
    "zscorenormalization": "zscore",
    "rescale_0_1": "rescale_0_1",
    "rescale_to_0_1": "rescale_0_1",
    "rescaleto01normalization": "rescale_0_1",
    "rgb": "rgb",
    "rgb_to_0_1": "rgb",
    "rgbto01normalization": "rgb",
    "none": "none",
    "nonorm": "none",
    "nonormalization": "none",
}

Schemes = tuple[Scheme | None, ...]


def declared_normalisation(json: DatasetJson, channels: Sequence[str]) -> tuple[Schemes | None, tuple[str, ...]]:
    """Reads the field 'normalization' (or 'normalisation').

    Args:
        json: what the dataset says of itself.
        channels: their names.

    Returns:
        One scheme a channel, None where none is named; or None if the field is absent. And what
        is wrong, each with place and remedy; then the first part is None.
    """
    present = [field for field in FIELDS if field in json.content]
    if not present:
        return None, ()
    field = present[0]
    if len(present) > 1:
        return None, (str(json.fault(field, f"is there twice: as '{FIELDS[1]}', too. Keep one of them.")),)
    entries, faults = _entries(json.content[field], channels)
    schemes: list[Scheme | None] = [None] * len(channels)
    named: dict[int, str] = {}
    for key, places, word in entries:
        scheme, fault = _scheme(key, word)
        faults += fault
        for place in places:
            if place in named and schemes[place] != scheme:
                twice = f"names channel {place} ('{channels[place]}') twice, as '{named[place]}' and as '{key}'."
                faults.append(f"{twice} Keep one.")
            schemes[place], named[place] = scheme, key
    if faults:
        return None, tuple(str(json.fault(field, fault)) for fault in faults)
    return tuple(schemes), ()


Entry = tuple[str, tuple[int, ...], Any]  # what the entry calls the channel, the channels that are meant, the scheme


def _entries(value: Any, channels: Sequence[str]) -> tuple[list[Entry], list[str]]:
    """The field taken apart, and what is wrong with its form."""
    if isinstance(value, list):
        if len(value) != len(channels):
            problem = (
                f"lists {len(value)} schemes for {_listed(channels)}. Give one a channel, null where it is left open."
            )
            return [], [problem]
        return [(str(place), (place,), word) for place, word in enumerate(value)], []
    if not isinstance(value, dict):
        problem = (
            f'must be an object {{"channel": "scheme"}} or a list of one scheme a channel, not {value!r}. '
            f"Channels: {_listed(channels)}; schemes: {_known()}."
        )
        return [], [problem]
    entries, faults = [], []
    for key, word in value.items():
        if places := _channels_called(key, channels):
            entries.append((key, places, word))
        else:
            faults.append(f"names a channel '{key}', which the dataset lacks. It has {_listed(channels)}.")
    return entries, faults


def _channels_called(key: str, channels: Sequence[str]) -> tuple[int, ...]:
    """The channels of that name, whatever its case, or the one of that number; a name may be given twice."""
    by_name = tuple(place for place, name in enumerate(channels) if name == key)
    by_name = by_name or tuple(place for place, name in enumerate(channels) if name.casefold() == key.casefold())
    by_number = tuple(place for place in range(len(channels)) if str(place) == key)
    return by_name or by_number


def _scheme(key: str, word: Any) -> tuple[Scheme | None, list[str]]:
    """The scheme a word stands for; null stands for none."""
    if word is None:
        return None, []
    scheme = SCHEMES.get(word.casefold()) if isinstance(word, str) else None
    if scheme is None:
        return None, [f"gives channel '{key}' the scheme {word!r}, which is not known. Known are {_known()}."]
    return scheme, []


def _known() -> str:
    return ", ".join(get_args(Scheme)) + ", and nnU-Net's words for them"


def _listed(channels: Iterable[str]) -> str:
    return ", ".join(f"channel {place} '{name}'" for place, name in enumerate(channels))
