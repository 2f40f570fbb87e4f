"""The sets of rules a plan can be derived by.

`nnunet` and `nnunet-resenc-m`, `-l`, `-xl` are the planners of nnU-Net v2 (ExperimentPlanner and
nnUNetPlannerResEncM, L, XL): the same facts and the same memory give the same plan. `standard` is ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from autoseg.plan.plan import PresetName
from autoseg.planner.architecture import PLAIN, RESIDUAL, Architecture
from autoseg.planner.footprint import feature_map_voxels
from autoseg.planner.memory import Memory
from autoseg.planner.topology import Topology

Dimensions = Literal[2, 3]


class Reference(NamedTuple):
    """A network known to fill a memory: feature map voxels of one patch, at a batch size."""

    voxels: float
    batch_size: int


class Preset(NamedTuple):
    """What sets of rules differ in.

    Attributes:
        name: on the command line.
        architecture: of the networks.
        references: by dimensions.
        reference_gb: what the references fill.
        least_batch: by dimensions; patches that must fit the memory, or a smaller patch is looked for.
        largest_share: of the dataset's voxels in one batch, 0…1.
        as_nnunet: nothing is decided otherwise than nnU-Net does, whatever time there is.
    """

    name: PresetName
    architecture: Architecture
    references: Mapping[int, Reference]
    reference_gb: float
    least_batch: Mapping[int, int]
    largest_share: float
    as_nnunet: bool = True

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
        allowed = reference.voxels * (memory_gb / self.reference_gb)

        def voxels(topology: Topology) -> int:
            return feature_map_voxels(topology, outputs, architecture=self.architecture)

        def patches_that_fit(topology: Topology) -> float:
            return allowed / voxels(topology) * reference.batch_size

        def needed_gb(topology: Topology, batch_size: int) -> float:
            return voxels(topology) * batch_size / (reference.voxels * reference.batch_size) * self.reference_gb

        return Memory(memory_gb, patches_that_fit, needed_gb, self.least_batch[dimensions], self.largest_share)


# nnU-Net shrinks patches until two fit. Its residual planners shrink until as many fit as the reference has.
_PLAIN = Preset(
    "nnunet",
    PLAIN,
    references={2: Reference(85e6, 12), 3: Reference(560e6, 2)},
    reference_gb=8.0,
    least_batch={2: 2, 3: 2},
    largest_share=0.05,
)
_RESIDUAL = Preset(
    "nnunet-resenc-m",
    RESIDUAL,
    references={2: Reference(135e6, 12), 3: Reference(680e6, 2)},
    reference_gb=8.0,
    least_batch={2: 12, 3: 2},
    largest_share=1.0,
)


def standard_rules(minutes: float | None) -> Preset:
    """Our own preset: residual encoders where there is time to train them, plain networks where minutes count.

    At about the memory and four thirds of the time of a plain network, one with a residual encoder was better on all
    of six datasets, by 0.4 points of Dice in the mean (BTCV, ACDC, LiTS, BraTS, KiTS, AMOS; Isensee et al. 2024,
    doi:10.48550/arXiv.2404.09556, nnU-Net against ResEnc M).

    Args:
        minutes: to train in; None trains as long as nnU-Net does.
    """
    return PRESETS["standard"]._replace(architecture=PLAIN if minutes is not None else RESIDUAL)


PRESETS: dict[PresetName, Preset] = {
    preset.name: preset
    for preset in (
        _PLAIN._replace(name="standard", as_nnunet=False),
        _PLAIN,
        _RESIDUAL,
        _RESIDUAL._replace(
            name="nnunet-resenc-l",
            references={2: Reference(380e6, 12), 3: Reference(2100e6, 2)},
            reference_gb=24.0,
        ),
        _RESIDUAL._replace(
            name="nnunet-resenc-xl",
            references={2: Reference(560e6, 12), 3: Reference(3600e6, 2)},
            reference_gb=40.0,
        ),
    )
}
