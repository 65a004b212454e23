"""An experiment for tests whose parameters are bounded."""

from typing import Annotated, Any

from annotated_types import Ge, Gt, Le, MinLen
from pydantic import FiniteFloat

from diptych.run import Finding, Run

VERSION = 1
Share = Annotated[FiniteFloat, Gt(0), Le(1)]


def bounded(
    run: Run,
    *,
    count: Annotated[int, Ge(1)] = 1,
    share: FiniteFloat = 0.5,
    sizes: Annotated[tuple[Share, ...], MinLen(1)] | None = None,
    names: tuple[str, ...] = (),
    anything: Any = None,
) -> Finding:
    """Says what it was given."""
    return Finding(summary=f"{count} {share} {sizes} {names} {anything}", rows=[], conditions={"n": count})
