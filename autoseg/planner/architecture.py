"""How many convolutions each stage of a network has; which kind it is, the preset decides."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from autoseg.planner.decided import Decided


class Architecture(NamedTuple):
    """A kind of U-Net, whatever its depth.

    Attributes:
        kind: as the plan's network names it.
        encoder: convolutions, or residual blocks of two convolutions, in the first encoder stages; all
            further stages have as many as the last one named.
        decoder: convolutions in every decoder stage, after the transposed one.
    """

    kind: Literal["plain_unet", "residual_encoder_unet"]
    encoder: tuple[int, ...]
    decoder: int

    def encoder_counts(self, stages: int) -> tuple[int, ...]:
        """Convolutions or blocks of each encoder stage.

        >>> RESIDUAL.encoder_counts(6)
        (1, 3, 4, 6, 6, 6)
        """
        return tuple(self.encoder[min(stage, len(self.encoder) - 1)] for stage in range(stages))


PLAIN = Architecture("plain_unet", (2,), 2)
RESIDUAL = Architecture("residual_encoder_unet", (1, 3, 4, 6), 1)


def architecture_parts(architecture: Architecture, stages: int) -> dict[str, Decided[Any]]:
    """Depths of a network: path within a stage → decision.

    Source: Isensee et al. 2021, doi:10.1038/s41592-020-01008-z, Methods, for plain networks; Isensee et al. 2024,
    doi:10.48550/arXiv.2404.09556, for residual encoders.

    >>> {path: decided.value for path, decided in architecture_parts(RESIDUAL, 3).items()}
    {'network.encoder_blocks': (1, 3, 4), 'network.decoder_convolutions': (1, 1)}
    """
    counts = architecture.encoder_counts(stages)
    decoder = (architecture.decoder,) * (stages - 1)
    if architecture.kind == "plain_unet":
        field = "encoder_convolutions"
        reason = decoder_reason = f"{counts[0]} convolutions at each of the {stages} levels, as in nnU-Net."
    else:
        field = "encoder_blocks"
        reason = (
            f"Blocks of two convolutions at each of the {stages} levels, as in nnU-Net's residual encoders: more of "
            "them where the image is coarse, for there they cost less."
        )
        decoder_reason = (
            "One convolution a level on the way back to full resolution, as in nnU-Net's networks of this kind."
        )
    return {
        f"network.{field}": Decided(counts, "architecture", {"stages": stages}, reason),
        "network.decoder_convolutions": Decided(decoder, "architecture", {"stages": stages}, decoder_reason),
    }
