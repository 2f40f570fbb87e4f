"""Real data, which lies beside the repository and not in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def real_data() -> Callable[[str], Path]:
    """The path of a file or folder of real data, by its name; skips the test where it is missing."""

    def find(name: str) -> Path:
        if not (DATA / name).exists():
            pytest.skip(f"real data: {name} is not in {DATA}")
        return DATA / name

    return find
