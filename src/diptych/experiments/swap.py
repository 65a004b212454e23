"""Swap: does a panel's circuit still work when one of its segments is the other panel's? Circuits from discover, F on test."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from diptych.experiments._halving import Along, Halving
from diptych.experiments._interchange import Effects, Interchange
from diptych.experiments._measured import measure_circuits
from diptych.experiments._panels import Panel, conditions, panels
from diptych.experiments._parameters import MetricName, Options, Positions, Seed, Several, Share
from diptych.experiments._survey import Survey, clusters
from diptych.experiments._swapped import BOTH, figures, notes, row, summary
from diptych.grid import Circuit
from diptych.items import Modality
from diptych.result import Row
from diptych.run import Finding, Run
from diptych.swap import FOURTEEN, OWN, TRANSFERS, Combination, Donor, carry, carry_as_many

VERSION = 3
USES = ("accuracy", "discover", "faithfulness_curve")
PARTS = ("data", "query", "generation", "whole")
CARRIED, AS_MANY = "carried", "as many"
NODES = (CARRIED, AS_MANY)
"""The part swapped in: all that the other panel's circuit has, or as many nodes as the part it replaces."""


def swap(
    run: Run,
    *,
    threshold: Share = 0.8,
    metric: MetricName = "logit_diff",
    discovery: Options = {},  # noqa: B006 (read only; written into the identity)
    draws: Several = 20,
    positions: Positions = "aligned",
    seed: Seed = 0,
) -> Finding:
    """F of each panel's minimal circuit on *test* with one segment, or all, from the other panel's circuit or random.

    Paper A's fourteen combinations: each panel's own circuit (2), and with its data, query or generation from the other
    panel (6) or random (6); here also whole circuits. Normalised: (F_swap − F_random)/(F_own − F_random), the two
    directions averaged first. Random: as many nodes of each kind in the segment as the part swapped in has, `draws`
    times. Each swap is also done with as many nodes as the part it replaces, the highest-ranked of the other panel.
    """
    survey = Survey.of(run)
    shared: Options = {"metric": metric, "seed": seed, "positions": positions}
    both = panels(run, survey, threshold, discovery, shared)
    effects, told, counts = [], conditions(both), {}
    for panel, other in (both, both[::-1]):
        plan = Plan.of(panel, other, draws, seed)
        chosen = survey.contrasts(panel.modality, "test", seed=seed, positions=positions)
        work = partial(
            measure_circuits, circuits=plan, metric=metric, answers=survey.answers, batch_size=run.batch_size
        )
        units = chosen.units(run.batch_size)
        values = [found for _, found in run.map(Halving(work, Along(-1)), units, name=panel.modality)]
        effects.append(plan.effects(values, clusters(units)))
        told |= {f"{name} {panel.modality}": value for name, value in chosen.conditions().items()}
        counts[panel.modality] = plan.counts()
    rows = _rows(effects, counts, seed)
    return Finding(
        summary=summary(run.task.name, rows),
        rows=rows,
        conditions=survey.conditions
        | told
        | {"metric": metric, "ablation": "counterfactual", "threshold": threshold, "draws": draws, "seed": seed}
        | {"positions": positions, "split": "discover (circuits), select (sizes), test (faithfulness)"}
        | {
            "interval": "95% cluster bootstrap, expanded for few clusters, 2000 draws; random circuits are resampled too"
        },
        figures=figures(rows),
        notes=notes(rows),
    )


@dataclass(frozen=True, eq=False)
class Plan:
    """The circuits that are run on a panel's prompts, in order; random ones are drawn when they are needed."""

    into: Modality
    own: Circuit
    donors: Mapping[str, Donor]

    @classmethod
    def of(cls, panel: Panel, other: Panel, draws: int, seed: int) -> "Plan":
        own = panel.circuit()
        given = {CARRIED: carry(other.circuit(), own.layout), AS_MANY: carry_as_many(other.ranking(), own)}
        return cls(panel.modality, own, {name: Donor(circuit, draws, seed) for name, circuit in given.items()})

    def __call__(self) -> Iterator[Circuit]:
        for name, combination in self._cases():
            yield from self.donors[name].circuits(self.own, combination)

    def __len__(self) -> int:
        return sum(self.donors[name].count(combination) for name, combination in self._cases())

    def effects(self, units: Sequence[dict[str, Any]], clusters: Sequence[str]) -> Effects:
        """What was measured, by case: part, source (another panel's name is "other") and nodes."""
        joined = {name: torch.cat([unit[name] for unit in units], -1).double().cpu().numpy() for name in units[0]}
        cases, start = {}, 0
        for name, combination in self._cases():
            count = self.donors[name].count(combination)
            cases[case(name, combination)] = joined["circuits"][start : start + count]
            start += count
        return Effects(joined["model"], joined["empty"], cases, clusters)

    def counts(self) -> dict[tuple[str, str], tuple[int, int]]:
        """(nodes, segment) → heads and neurons of the part swapped in, and under "own" of the part it replaces."""
        circuits = {OWN: self.own} | {name: donor.given for name, donor in self.donors.items()}
        return {
            (name, part): (circuit.without("prefix") if part == "whole" else circuit.at(part)).count()
            for name, circuit in circuits.items()
            for part in PARTS
        }

    def _cases(self) -> Iterator[tuple[str, Combination]]:
        """The panel's own circuit once, then every other combination with both sorts of nodes."""
        for name in NODES:
            for combination in (*FOURTEEN, *TRANSFERS):
                if combination.into == self.into and (combination.swapped or name == CARRIED):
                    yield name, combination


def case(nodes: str, combination: Combination) -> str:
    """The name under which a combination's circuits are kept, the same in both directions."""
    if combination.part == OWN:
        return OWN
    source = "random" if combination.source == "random" else "other"
    return f"{nodes} {combination.part} {source}"


def _rows(effects: Sequence[Effects], counts: dict[Any, Any], seed: int) -> list[Row]:
    """Part by part: the nodes carried, then as many as replaced; the mean of both directions, then each."""
    directions = {BOTH: effects, "text": effects[:1], "image": effects[1:]}
    found = {into: Interchange(some, seed) for into, some in directions.items()}
    return [row(into, part, nodes, found[into], counts) for part in PARTS for nodes in NODES for into in directions]
