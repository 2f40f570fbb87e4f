"""Numbers as people read them: what is printed is what was meant."""

from __future__ import annotations

import numpy as np
import pytest

from autoseg.phrases import number


@pytest.mark.parametrize("sign", [1, -1])
def test_a_number_reads_as_what_it_is(sign: int) -> None:
    """Within half of the third digit that counts, whatever its size."""
    for value in sign * 10 ** np.random.default_rng(0).uniform(-6, 6, 2000):
        assert float(number(value).replace(",", "")) == pytest.approx(value, rel=0.0051)


@pytest.mark.parametrize(("value", "said"), [(990.4, "990"), (99.96, "100"), (0.0999, "0.0999"), (0, "0")])
def test_digits(value: float, said: str) -> None:
    assert number(value) == said
