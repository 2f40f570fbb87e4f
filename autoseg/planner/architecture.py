"""Which kind of network is built, and how many convolutions each of its stages has."""

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
        reason: why one would take it.
    """

    kind: Literal["plain_unet", "residual_encoder_unet"]
    encoder: tuple[int, ...]
    decoder: int
    reason: str

    def encoder_counts(self, stages: int) -> tuple[int, ...]:
        """Convolutions or blocks of each encoder stage.

        >>> RESIDUAL.encoder_counts(6)
        (1, 3, 4, 6, 6, 6)
        """
        return tuple(self.encoder[min(stage, len(self.encoder) - 1)] for stage in range(stages))


PLAIN = Architecture("plain_unet", (2,), 2, "A U-Net of plain convolutions: on most datasets hard to beat.")
RESIDUAL = Architecture(
    "residual_encoder_unet",
    (1, 3, 4, 6),
    1,
    "A U-Net whose encoder is made of residual blocks: with the memory and time for it, a little better than plain "
    "convolutions on large datasets.",
)


def architecture_parts(architecture: Architecture, stages: int) -> dict[str, Decided[Any]]:
    """Kind and depths of a network: path within a stage → decision.

    Source: Isensee et al. 2021, doi:10.1038/s41592-020-01008-z, Methods, for plain networks; Isensee et al. 2024,
    doi:10.48550/arXiv.2404.09556, for residual encoders.

    >>> {path: decided.value for path, decided in architecture_parts(RESIDUAL, 3).items()}
    ... # doctest: +NORMALIZE_WHITESPACE
    {'network.kind': 'residual_encoder_unet', 'network.encoder_blocks': (1, 3, 4),
     'network.decoder_convolutions': (1, 1)}
    """
    counts = architecture.encoder_counts(stages)
    decoder = (architecture.decoder,) * (stages - 1)
    if architecture.kind == "plain_unet":
        field, reason = "encoder_convolutions", f"{counts[0]} convolutions at each of the {stages} levels."
        decoder_reason = reason
    else:
        field = "encoder_blocks"
        listed = ", ".join(map(str, counts))
        reason = (
            f"{listed} residual blocks, from the finest level to the coarsest: where the image is coarse, blocks cost "
            "less, so there are more of them."
        )
        decoder_reason = (
            "The encoder does the work; one convolution a level is enough on the way back to full resolution."
        )
    return {
        "network.kind": Decided(architecture.kind, "preset", {}, architecture.reason),
        f"network.{field}": Decided(counts, "architecture", {"stages": stages}, reason),
        "network.decoder_convolutions": Decided(decoder, "architecture", {"stages": stages}, decoder_reason),
    }
