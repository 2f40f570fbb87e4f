"""Networks: plan.network comes in, a torch module goes out.

A network maps images (batch, channels, *axes) to a tuple of logits, full resolution first.
"""

from autoseg.networks.build import build_network, count_parameters

__all__ = ["build_network", "count_parameters"]
