"""A quantity of the parity table: how far diptych is from the authors' numbers, and whether those say anything."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Tolerance:
    """|difference| ≤ absolute + relative · |golden|."""

    absolute: float
    relative: float = 0.0

    def __str__(self) -> str:
        return f"{self.absolute:.0e}" + (f" + {self.relative:.0e}·|golden|" if self.relative else "")


LOGITS = Tolerance(1e-4)
ATTRIBUTION = Tolerance(5e-5, 1e-4)
RATIOS = Tolerance(1e-4, 5e-3)
EXACT = Tolerance(0.0)
ROUNDED = Tolerance(1e-6)


@dataclass(frozen=True)
class Quantity:
    """`difference`: largest one. `excess`: by how much the tolerance is passed at most. `largest`: golden value."""

    name: str
    difference: float
    excess: float
    tolerance: Tolerance
    largest: float
    values: int

    @property
    def passed(self) -> bool:
        return self.excess <= 0 and self.largest > 0


def compare(name: str, pairs: Iterable[tuple[Tensor, Tensor]], tolerance: Tolerance) -> Quantity:
    """Compare (diptych's, golden) tensors, over all of them; golden values that are not finite are left out."""
    found, golden = (torch.cat([part.double().flatten() for part in side]) for side in zip(*pairs, strict=True))
    finite = golden.isfinite()
    found, golden = found[finite], golden[finite]
    difference = (found - golden).abs().nan_to_num(nan=float("inf"))
    excess = difference - tolerance.absolute - tolerance.relative * golden.abs()
    return Quantity(
        name, *(float(x.max()) for x in (difference, excess)), tolerance, float(golden.abs().max()), golden.numel()
    )


def numbers(values: object) -> Tensor:
    """A list of JSON numbers, in which "nan" and "-inf" are text."""
    return torch.tensor([float(value) for value in values])  # type: ignore[attr-defined]
