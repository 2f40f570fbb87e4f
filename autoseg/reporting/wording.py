"""What the values and facts of a plan are called, and how they are written.

Comes in: a path within a stage, or the facts of a decision. Goes out: words.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from autoseg.phrases import number, percent
from autoseg.plan import Decision

COLUMNS = 100
LONGEST_FACT = 300  # characters; a list over all cases is told by its beginning
TOGETHER = re.compile(r"(?<=\d) (?=×|…|%|GB|mm)|(?<=[×…]) (?=[\d-])")  # spaces at which no line is broken
KEPT = "\N{NO-BREAK SPACE}"

# Path within a stage → name. The order is that in which an image meets them, and that of the text.
NAMES = {
    "dimensions": "sees",
    "previous": "sees besides",
    "previous.stage": "sees besides",
    "previous.as_channels": "that prediction as channels",
    "previous.crop": "crop by that prediction",
    "previous.mask": "mask by that prediction",
    "preprocessing.orientation": "orientation",
    "preprocessing.crop_to_nonzero": "crop",
    "preprocessing.axis_order": "order of axes",
    "preprocessing.spacing_mm": "voxel size",
    "preprocessing.resize_to": "slices resized to",
    "preprocessing.normalisation": "normalisation",
    "preprocessing.image_order": "resampling",
    "preprocessing.coarse_axis_order": "resampling across thick slices",
    "preprocessing.label_order": "resampling of labels",
    "network.kind": "network",
    "network.features": "features by level",
    "network.strides": "strides by level",
    "network.kernels": "kernels by level",
    "network.encoder_convolutions": "encoder convolutions by level",
    "network.encoder_blocks": "encoder blocks by level",
    "network.decoder_blocks": "decoder blocks by level",
    "network.encoder_block": "encoder blocks are",
    "network.decoder_block": "decoder blocks are",
    "network.norm.kind": "norm",
    "network.norm.momentum": "newest batch in running statistics",
    "network.activation": "activation",
    "network.activation_first": "activation before the norm",
    "network.dropout": "channels left out in training",
    "network.downsampling": "way down",
    "network.upsampling": "way up",
    "network.attention_gates": "attention gates",
    "network.squeeze_excitation": "squeeze and excitation, reduction",
    "network.decoder_convolutions": "decoder convolutions by level",
    "network.dimensions": "network's dimensions",
    "network.blocks": "layers or blocks by resolution",
    "network.growth": "features a layer adds",
    "network.groups": "groups of features",
    "network.group_width": "features of a group",
    "network.decoder_features": "decoder features from the bottom up",
    "network.deep_supervision": "deep supervision",
    "sampling.patch_size": "patch",
    "sampling.batch_size": "batch",
    "sampling.foreground_fraction": "share of patches centred on a label",
    "sampling.grid": "grid of patches",
    "sampling.foreground": "patches centred on a label",
    "sampling.grid.overlap": "overlap of patches in a grid",
    "sampling.grid.inside": "share of an edge patch inside the image",
    "sampling.grid.along": "that share counts along",
    "sampling.grid.likelier": "patches drawn more often",
    "augmentation": "augmentation",
    "loss": "loss",
    "optimizer": "optimiser",
    "schedule": "learning rate",
    "stopping": "early stopping",
    "average": "average of the weights",
    "training.minutes": "time limit",
    "training.epochs": "epochs",
    "training.iterations_per_epoch": "iterations an epoch",
    "training.validation_iterations": "validation batches an epoch",
    "training.validation_cases": "whole cases scored an epoch",
    "training.precision": "number type",
    "training.compile": "compiled network",
    "training.gradient_clip": "longest gradient",
    "training.seed": "random seed",
    "inference.overlap": "overlap of windows",
    "inference.gaussian_sigma": "width of a window's weights",
    "inference.mirror_axes": "mirrored in prediction",
    "inference.views": "views in prediction",
    "inference.air": "air, left out",
    "postprocessing": "postprocessing",
    "inference.return_order": "resampling of scores",
    "memory": "memory",
}

# Title of a section → the first parts of its paths.
SECTIONS = {
    "Images": ("dimensions", "previous", "preprocessing"),
    "Network": ("network",),
    "Patches": ("sampling", "augmentation"),
    "Training": ("loss", "optimizer", "schedule", "stopping", "average", "training"),
    "Prediction": ("inference", "postprocessing"),
    "Memory": ("memory",),
}

# Fact → name. The name is empty where the reason, the alternative or the heading tells the number in any case.
# "rule.fact" goes before "fact"; what is not here is called as it is.
FACTS = {
    "dimensions.median_shape": "median image",
    "cases": "",
    "without_orientation": "",
    "axis_order.spacing_mm": "",
    "median_spacing_mm": "",
    "target_spacing.median_shape": "median image before resampling",
    "tenth_percentile_mm": "finest tenth of the cases, mm",
    "channels": "",
    "asked_for": "",
    "decided_by": "",
    "whole_images": "",
    "foreground_intensities": "labelled voxels of a CT",
    "median_relative_size": "",
    "network_kind.preset": "",
    "architecture.stages": "",
    "stage_features.first": "",
    "stage_features.cap": "",
    "network_topology.patch_size": "",
    "spacing_mm": "voxel size, mm",
    "initial_patch": "search began at",
    "median_shape": "median image",
    "for_patches": "smallest batch",
    "needed_gb": "GB for the smallest batch",
    "fill_memory.needed_gb": "GB for the smallest batch of the largest patch",
    "trim_patch.needed_gb": "GB for the smallest batch of the whole patch",
    "whole_patch": "",
    "memory_gb": "",
    "largest_patch": "",
    "fit_memory": "patches that fit the memory",
    "fit_dataset": "patches that the dataset allows",
    "largest_share": "share of its voxels that they may have",
    "most_voxels": "voxels of the most frequent label",
    "rare": "",
    "mirror_axes": "",
    "augmentation.patch_size": "",
    "upright": "",
    "short": "",
    "loss_terms.dimensions": "",
    "low_resolution_pays": "",
    "few_iterations": "",
    "optimizer.iterations": "",
    "loss_terms.regions": "",
    "left_right_pairs": "pairs",
    "device": "",
    "minutes": "",
    "enough_iterations": "iterations wanted",
    "seconds_per_iteration": "",
    "measured_seconds_per_iteration": "seconds an iteration",
    "full_spacing_mm": "voxel size at full resolution, mm",
    "full_median_shape": "median image at full resolution",
    "full_patch_size": "",
    "smallest_share": "",
    "steps": "",
    "traced_gb": "",
    "margin": "",
    "budget_gb": "",
    "predicted_memory.median_shape": "",
    "image_gb": "",
}

SHARES = ("largest_share",)  # facts that are told in percent
KEYS = {"std": "standard deviation", "percentile_00_5": "0.5 % below", "percentile_99_5": "0.5 % above"}


def name_of(path: str) -> str:
    """What a value is called; a path that is not known is its own name.

    >>> name_of("preprocessing.spacing_mm"), name_of("network.novelty")
    ('voxel size', 'network.novelty')
    """
    return NAMES.get(path, path)


def told_facts(decision: Decision) -> list[str]:
    """The facts of a decision that its sentences do not tell, in words.

    >>> facts = {"fit_memory": 12, "memory_gb": 8.0, "novelty_mm": [0.25, 1.0]}
    >>> told_facts(Decision(value=12, rule="fit_batch", facts=facts, reason="12 patches fit 8 GB."))
    ['patches that fit the memory: 12', 'novelty mm: 0.25 × 1']
    """
    if decision.rule == "hand-set":  # its facts are those of a rule that no longer decides
        return []
    told = []
    for fact, value in decision.facts.items():
        name = FACTS.get(f"{decision.rule}.{fact}", FACTS.get(fact, fact.replace("_", " ")))
        if fact == "foreground_intensities":
            value = _of_ct(value, decision.value)
        text = percent(value) if fact in SHARES and isinstance(value, float) else plain(value)
        if name and text not in ("", "none", "no"):
            told.append(f"{name}: {text if len(text) <= LONGEST_FACT else text[: LONGEST_FACT - 1] + '…'}")
    return told


def plain(value: Any) -> str:
    """Any JSON value in words, without braces.

    >>> plain([36.0, 50.0, 35.0]), plain({"mean": 1.5, "seen": [True, None]}), plain([["left", "right"]])
    ('36 × 50 × 35', 'mean 1.5, seen yes / none', 'left, right')
    >>> plain({"16 features": 0.44, "8 features": 0.2})
    '0.44 (16 features), 0.2 (8 features)'
    """
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return number(value)
    if isinstance(value, Mapping):
        return ", ".join(_entry(str(key), plain(inner)) for key, inner in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        numbers = all(isinstance(entry, int | float) and not isinstance(entry, bool) for entry in value)
        if numbers and len(value) in (2, 3):
            return " × ".join(map(number, value))
        entries = [] if all(entry is None for entry in value) else map(plain, value)
        return (", " if all(isinstance(entry, str) or numbers for entry in value) else " / ").join(entries)
    return str(value)


def runs(entries: Sequence[str]) -> str:
    """Entries one after the other, those that repeat counted.

    >>> runs(["1×1", "2×2", "2×2"]), runs(["32", "64"])
    ('1×1, 2×2 (2 times)', '32, 64')
    """
    found: list[tuple[str, int]] = []
    for entry in entries:
        if found and found[-1][0] == entry:
            found[-1] = entry, found[-1][1] + 1
        else:
            found.append((entry, 1))
    return ", ".join(entry if times == 1 else f"{entry} ({times} times)" for entry, times in found)


def wrapped(text: str, first: str = "", rest: str = "") -> list[str]:
    """The lines of a text, `first` before the first of them and `rest` before the others.

    Sizes and units stay with their numbers: "36 × 50 × 35", "8 GB".
    """
    lines = textwrap.wrap(
        TOGETHER.sub(KEPT, text),
        COLUMNS,
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.replace(KEPT, " ") for line in lines]


def _of_ct(intensities: Any, normalisation: Any) -> list[Any]:
    """Of the intensities of each channel those that decide something: no other image is scaled by the dataset's."""
    if not isinstance(intensities, list) or not isinstance(normalisation, list):
        return []
    return [of for of, how in zip(intensities, normalisation, strict=False) if how.get("kind") == "ct"]


def _entry(key: str, text: str) -> str:
    """A field by its name; a key with spaces names a thing of its own, and comes after what is said of it."""
    return f"{text} ({key})" if " " in key else f"{KEYS.get(key, key.replace('_', ' '))} {text}"
