"""An experiment for tests: squares of the first numbers, one unit each."""

from typing import Any, Literal

import torch

from diptych.run import Finding, Run, Unit

VERSION = 1


def square(vlm: Any, number: int) -> dict[str, torch.Tensor]:
    vlm(number)
    return {"square": torch.tensor([float(number**2)])}


def squares(run: Run, *, count: int = 3, scale: float = 1.0, sign: Literal["plus", "minus"] = "plus") -> Finding:
    units = [Unit(f"Number {number}", number) for number in range(count)]
    found = [(unit.payload, values["square"]) for unit, values in run.map(square, units, name="squares")]
    total = scale * float(sum(value for _, value in found))
    return Finding(
        summary=f"The squares sum to {total}.",
        rows=[{"number": number, "square": float(value)} for number, value in found],
        conditions={"n": count},
        grids={"all": torch.cat([value for _, value in found])[::2]} if found else {},
    )
