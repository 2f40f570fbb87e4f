"""The sets of rules a plan can be derived by, and the kind of network they build.

`nnunet` and `nnunet-resenc-m`, `-l`, `-xl` are the planners of nnU-Net v2 (ExperimentPlanner and
nnUNetPlannerResEncM, L, XL): the same facts and the same memory give the same plan. `standard` is ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from autoseg.phrases import counted
from autoseg.plan.plan import PresetName
from autoseg.planner.architecture import PLAIN, RESIDUAL, Architecture
from autoseg.planner.decided import Decided
from autoseg.planner.footprint import feature_map_voxels
from autoseg.planner.memory import Memory
from autoseg.planner.topology import Topology

Dimensions = Literal[2, 3]


class Reference(NamedTuple):
    """A network known to fill a memory, in GB: feature map voxels of one patch, at a batch size."""

    voxels: float
    batch_size: int
    gigabytes: float


class Preset(NamedTuple):
    """What sets of rules differ in.

    Attributes:
        name: on the command line.
        architecture: of the networks.
        least_batch: by dimensions; patches that must fit the memory, or a smaller patch is looked for.
        largest_share: of the dataset's voxels in one batch, 0…1.
        references: by dimensions; what nnU-Net compares networks with. Empty where a training step is traced instead.
    """

    name: PresetName
    architecture: Architecture
    least_batch: Mapping[int, int]
    largest_share: float
    references: Mapping[int, Reference] = MappingProxyType({})

    @property
    def as_nnunet(self) -> bool:
        """Nothing is decided otherwise than nnU-Net does, whatever time there is."""
        return bool(self.references)

    @property
    def reference_gb(self) -> float:
        """The memory that nnU-Net plans for with this preset."""
        return self.references[3].gigabytes

    def memory(self, dimensions: Dimensions, outputs: int, memory_gb: float) -> Memory:
        """What fits a memory, in proportion to what is known to fill the reference's.

        Args:
            dimensions: of the stage.
            outputs: channels of the network's head, as nnU-Net counts them.
            memory_gb: for training.

        Source: Isensee et al. 2021, doi:10.1038/s41592-020-01008-z, Methods; figures of nnU-Net v2.

        >>> cube = Topology((128,) * 3, ((1,) * 3,) + ((2,) * 3,) * 5, ((3,) * 3,) * 6)
        >>> round(PRESETS["nnunet"].memory(3, outputs=3, memory_gb=8).patches_that_fit(cube), 2)
        2.47
        """
        reference = self.references[dimensions]
        # The order of operations is nnU-Net's, so that halves are rounded as there.
        allowed = reference.voxels * (memory_gb / reference.gigabytes)

        def voxels(topology: Topology) -> int:
            return feature_map_voxels(topology, outputs, architecture=self.architecture)

        def patches_that_fit(topology: Topology) -> float:
            return allowed / voxels(topology) * reference.batch_size

        def needed_gb(topology: Topology, batch_size: int) -> float:
            return voxels(topology) * batch_size / (reference.voxels * reference.batch_size) * reference.gigabytes

        return Memory(memory_gb, patches_that_fit, needed_gb, self.least_batch[dimensions], self.largest_share)


def standard_rules(minutes: float | None) -> Preset:
    """Our own preset: residual encoders where there is time to train them, plain networks where minutes count.

    At about the memory and four thirds of the time of a plain network, one with a residual encoder was better on all
    of six datasets, by 0.4 points of Dice in the mean (BTCV, ACDC, LiTS, BraTS, KiTS, AMOS; Isensee et al. 2024,
    doi:10.48550/arXiv.2404.09556, nnU-Net against ResEnc M).

    Args:
        minutes: to train in; None trains as long as nnU-Net does.
    """
    architecture = PLAIN if minutes is not None else RESIDUAL
    return Preset("standard", architecture, least_batch={2: 2, 3: 2}, largest_share=0.05)


# nnU-Net shrinks patches until two fit. Its residual planners shrink until as many fit as the reference has.
_RESIDUAL = Preset(
    "nnunet-resenc-m",
    RESIDUAL,
    least_batch={2: 12, 3: 2},
    largest_share=1.0,
    references={2: Reference(135e6, 12, 8.0), 3: Reference(680e6, 2, 8.0)},
)

# nnU-Net's, by name.
PRESETS: dict[PresetName, Preset] = {
    preset.name: preset
    for preset in (
        Preset(
            "nnunet",
            PLAIN,
            least_batch={2: 2, 3: 2},
            largest_share=0.05,
            references={2: Reference(85e6, 12, 8.0), 3: Reference(560e6, 2, 8.0)},
        ),
        _RESIDUAL,
        _RESIDUAL._replace(
            name="nnunet-resenc-l", references={2: Reference(380e6, 12, 24.0), 3: Reference(2100e6, 2, 24.0)}
        ),
        _RESIDUAL._replace(
            name="nnunet-resenc-xl", references={2: Reference(560e6, 12, 40.0), 3: Reference(3600e6, 2, 40.0)}
        ),
    )
}


def network_kind(preset: Preset, minutes: float | None) -> Decided[str]:
    """Which kind of network a preset builds, and why.

    Args:
        preset: the rules; with `standard`, those for these minutes.
        minutes: to train in; None trains as long as nnU-Net does.
    """
    kind = preset.architecture.kind
    facts: dict[str, Any] = {"preset": preset.name, "minutes": minutes}
    if preset.as_nnunet:
        plain = preset.architecture == PLAIN
        built = "U-Nets of plain convolutions" if plain else "U-Nets with an encoder of residual blocks"
        other = (
            "Presets nnunet-resenc-m, -l and -xl build encoders of residual blocks."
            if plain
            else "Preset nnunet builds plain convolutions."
        )
        return Decided(kind, "network_kind", facts, f"Preset {preset.name} builds {built}, as nnU-Net does.", other)
    if minutes is None:
        reason = (
            "No time limit is set, so the encoder is made of residual blocks: they take a third more time than plain "
            "convolutions and were better on each of six datasets, by 0.4 points of Dice in the mean (Isensee et al. "
            "2024, doi:10.48550/arXiv.2404.09556)."
        )
        other = "With a time limit (--minutes) they would be plain convolutions, which do more iterations in the time."
        return Decided(kind, "network_kind", facts, reason, other)
    reason = (
        f"Training ends after {counted(minutes, 'minute')}: plain convolutions do more iterations in the time than "
        "residual blocks, which take a third longer."
    )
    other = "Without a time limit the encoder would be made of residual blocks."
    return Decided(kind, "network_kind", facts, reason, other)
