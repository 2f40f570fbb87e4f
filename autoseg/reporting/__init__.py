"""What people look at.

Comes in: plans, scores, images with their label maps. Goes out: text for terminals, pictures.
"""

from autoseg.reporting.cases import draw_cases
from autoseg.reporting.explain import explain
from autoseg.reporting.overlay import Overlay, draw_overlays
from autoseg.reporting.score_table import score_table

__all__ = ["Overlay", "draw_cases", "draw_overlays", "explain", "score_table"]
