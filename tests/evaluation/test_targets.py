"""What is scored."""

from __future__ import annotations

import pytest

from autoseg.dataset.labels import Labels, Region
from autoseg.errors import DatasetError
from autoseg.evaluation import scored_targets

KIDNEY = Labels(values={"background": 0, "tumour": 2, "kidney": 1})


def regions(values: dict[str, int], **members: tuple[tuple[int, ...], int]) -> Labels:
    return Labels(
        values={"background": 0, **values},
        regions={name: Region(values=held, paint=paint) for name, (held, paint) in members.items()},
    )


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        pytest.param(KIDNEY, {"kidney": (1,), "tumour": (2,)}, id="labels"),
        pytest.param(
            regions({"oedema": 1, "core": 2}, whole=((1, 2), 1), core=((2,), 2)),
            {"whole": (1, 2), "core": (2,), "oedema": (1,)},
            id="a label that is no region",
        ),
        pytest.param(
            regions({"kidney": 1, "tumour": 2}, kidney=((1, 2), 1), tumour=((2,), 2)),
            {"kidney": (1, 2), "tumour": (2,), "kidney alone": (1,)},
            id="a label and a region of one name",
        ),
        pytest.param(
            regions({"a": 1, "b": 2, "c": 3}, whole=((1, 2, 3), 1), inner=((2, 3), 3)),
            {"whole": (1, 2, 3), "inner": (2, 3), "a": (1,), "c": (3,)},
            id="a label nothing is painted with cannot be predicted",
        ),
    ],
)
def test_regions_then_labels(labels: Labels, expected: dict[str, tuple[int, ...]]) -> None:
    found = scored_targets(labels)
    assert found == expected
    assert list(found) == list(expected)


def test_regions_asked_for_come_last() -> None:
    found = scored_targets(KIDNEY, {"both": [1, 2], "again": [2]})
    assert list(found.items())[2:] == [("both", (1, 2)), ("again", (2,))]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (
            {"both": (1, 3, 4)},
            r"region 'both' holds 3, 4; a region consists of labels other than the background \(backg",
        ),
        ({"all": (0, 1)}, r"region 'all' holds 0; .*\(background 0, tumour 2, kidney 1\)\. Correct its values\."),
        ({"none": ()}, "region 'none' holds nothing; a region consists of"),
        ({"mean": (1, 2)}, "region 'mean': in scores this name means something else. Call it something else."),
        ({"background": (1,)}, "region 'background': in scores this name means something else."),
        ({"two\nlines": (1,)}, r"region 'two\\nlines': a name is one line of printable characters."),
        ({"kidney": (1, 2)}, "region 'kidney': something of this name is scored already. Call it something else."),
    ],
)
def test_regions_that_cannot_be_scored(asked: dict[str, tuple[int, ...]], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        scored_targets(KIDNEY, asked)
