"""The base of everything that is data and lands in a file: a frozen pydantic model.

Unknown fields are refused, so a typo in a plan is an error and not a silent default.
"""

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """Immutable, and strict about its fields; NaN and infinity are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
