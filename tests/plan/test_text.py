"""How plans are laid out."""

from __future__ import annotations

import json

import pytest

from autoseg.plan.text import WIDTH, as_text


@pytest.mark.parametrize("long", [1, 30])
def test_the_text_says_the_same_and_no_list_of_numbers_is_longer_than_a_line(long):
    data = {
        "kernels": [[3, 3, 3]] * long,
        "empty": [],
        "nothing": {},
        "text": "é" * 200,
        "stages": {"2d": {"loss": [{"kind": "dice", "over": [["a", "b"], "c"]}], "null": None, "rate": 1e-06}},
    }
    text = as_text(data)
    assert json.loads(text) == data
    assert all(len(line) <= WIDTH for line in text.splitlines() if "é" not in line)
    assert ('  "kernels": [[3, 3, 3]],' in text.splitlines()) == (long == 1)
    assert text.splitlines().count("    [3, 3, 3],") == max(0, long - 1) * (long > 1)
    assert '        {"kind": "dice", "over": [["a", "b"], "c"]}' in text.splitlines()


def test_what_is_no_json_is_refused():
    with pytest.raises(ValueError, match="not JSON compliant"):
        as_text({"rate": float("nan")})
