"""What a plan is: frozen data that says everything about a model, its checks and its file format; without torch.

Comes in: JSON. Goes out: a checked `Plan` whose parts the other folders take.
"""

from autoseg.plan.files import check_plan, plan_schema, read_plan, with_settings, write_plan
from autoseg.plan.plan import Budget, Decision, Device, Plan, PresetName, Stage, Timing
from autoseg.plan.training import Precision

__all__ = [
    "Budget",
    "Decision",
    "Device",
    "Plan",
    "Precision",
    "PresetName",
    "Stage",
    "Timing",
    "check_plan",
    "plan_schema",
    "read_plan",
    "with_settings",
    "write_plan",
]
