"""Derives a plan.

Comes in: a `Fingerprint`, a `Budget`, and a `Machine` to ask. Goes out: a `Plan` in which every
value has its reason. Pure: the same input gives the same plan, to the byte.
"""

from autoseg.planner.decided import Decided
from autoseg.planner.derive import derive_plan, facts_hash
from autoseg.planner.machine import Machine

__all__ = ["Decided", "Machine", "derive_plan", "facts_hash"]
