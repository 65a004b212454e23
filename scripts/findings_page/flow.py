"""Flow: does what the picture tells arrive later than what the words tell?"""

from collections.abc import Iterator, Mapping
from typing import Any

from findings_page.record import Record, name
from findings_page.section import Section
from findings_page.table import above, below, interval, listed, middle, table

MEASURES = {
    "knockout": (
        "reading layer",
        "half of what the answer needs of the data has been read (attention cut from a layer on)",
    ),
    "cross_patch": ("critical layer", "the data's positions stop deciding the answer (states of a donor put there)"),
    "identify": ("identified layer, last position", "a linear probe is half-way to its best at the last position"),
    "visual_integration": ("integration layer", "the last position is half as far as it gets from another item's"),
}
"""Experiment → the layer that it tells for both panels, and what happens there."""
FROZEN = "sufficient layer"
PANELS = ("text", "image")
LAG = "image minus text"
Pair = tuple[str, str]


def layers(record: Record, experiment: str, which: str) -> dict[Pair, Mapping[str, Any]]:
    """The layer of an experiment from a panel, or its lag, with interval and n, of every pair."""
    start = MEASURES[experiment][0]
    return {of: kept[f"{start}, {which}"] for of, kept in record.kept(experiment).items()}


def order(lag: Mapping[str, Any]) -> str:
    """Whether the image is surely later: by the interval of the lag, both panels resampled together."""
    if lag["layer"][0] is None:
        return "undefined"
    return "later" if above(lag["layer"]) else "earlier" if below(lag["layer"]) else "not told apart"


def sorted_out(record: Record, experiment: str) -> dict[str, list[Pair]]:
    found: dict[str, list[Pair]] = {"later": [], "earlier": [], "not told apart": [], "undefined": []}
    for of, lag in layers(record, experiment, LAG).items():
        found[order(lag)].append(of)
    return found


def differences(record: Record, experiment: str) -> str:
    return middle((lag["layer"][0] for lag in layers(record, experiment, LAG).values()), 2, sign="+")


def depth(record: Record) -> str:
    """The image's critical layer as a share of the layers, the median over pairs."""
    number = {of: kept["layers"] for of, kept in record.kept("similarity").items()}
    found = {of: one["layer"][0] for of, one in layers(record, "cross_patch", "image").items() if of in number}
    return middle(None if layer is None else layer / number[of] for of, layer in found.items())


def here(record: Record) -> str:
    told = []
    for experiment, (layer, _) in MEASURES.items():
        kinds = sorted_out(record, experiment)
        counts = ", ".join(f"{kind} in {len(some)}" for kind, some in kinds.items())
        far = sum(lag["layer"][0] >= 1 for of, lag in layers(record, experiment, LAG).items() if of in kinds["later"])
        counts = counts.replace(", earlier", f" (by a layer or more in {far}), earlier")
        told.append(f"* {layer} (`{experiment}`): {counts}; median lag {differences(record, experiment)}")
    late = sorted_out(record, "cross_patch")["later"]
    frozen = middle((kept[FROZEN]["layer"][0] for kept in record.kept("freeze").values()), 1)
    return (
        f"the lag is the image's layer minus the text's. Later and earlier: its 95 % interval, both panels resampled together, "
        f"leaves nothing else. Of {record.count('cross_patch')} pairs the image is:\n\n"
        + "\n".join(told)
        + f"\n\nThe picture surely decides longer than the words in: {listed(map(name, late))}. As a share of the depth, the "
        f"median of its critical layer is {depth(record)}; the paper: .53 to .75. The sufficient layer, from which on the picture's "
        f"state may be held at its own positions until it has been read (`freeze`), is {frozen} in the median."
    )


def tables(record: Record) -> list[str]:
    pairs = list(dict.fromkeys(of for experiment in (*MEASURES, "freeze") for of in record.kept(experiment)))
    columns = [layers(record, experiment, panel) for experiment in MEASURES for panel in PANELS]
    columns.append({of: kept[FROZEN] for of, kept in record.kept("freeze").items()})
    names = [f"{layer}, {panel}" for layer, _ in MEASURES.values() for panel in PANELS]
    lags = [layers(record, experiment, LAG) for experiment in MEASURES]
    meaning = "; ".join(f"{layer.removesuffix(', last position')}: {what}" for layer, what in MEASURES.values())
    return [
        "The lag: image minus text, in layers.",
        table(
            ["model", "task", *(layer for layer, _ in MEASURES.values())],
            [[*of, *(interval(lag[of]["layer"], 2, sign="+") if of in lag else "–" for lag in lags)] for of in pairs],
        ),
        f"Layers, which count from 0, with intervals and (n); fractions lie between two layers. {meaning[0].upper() + meaning[1:]}; "
        f"sufficient layer: the picture's state there, held until it has been read, is enough for half of the prompts.",
        table(
            ["model", "task", *names, FROZEN],
            [[*of, *(layer_of(column.get(of)) for column in columns)] for of in pairs],
        ),
        *reasons(record),
    ]


def layer_of(kept: Mapping[str, Any] | None) -> str:
    if kept is None or kept["layer"][0] is None:
        return "–"
    return f"{interval(kept['layer'], 1)} ({kept['n']})"


def reasons(record: Record) -> Iterator[str]:
    """Why layers are undefined, those of one reason together."""
    why: dict[str, list[str]] = {}
    for experiment in (*MEASURES, "freeze"):
        for of, kept in record.kept(experiment).items():
            for layer, one in kept.items():
                if one["layer"][0] is None and shown(layer):
                    why.setdefault(one["undefined"], []).append(f"{name(of)} ({layer})")
    for reason, some in why.items():
        yield f"Undefined, {reason}: {', '.join(some)}."


def shown(layer: str) -> bool:
    return layer == FROZEN or any(layer.startswith(f"{start}, ") for start, _ in MEASURES.values())


def short(record: Record) -> str:
    kinds = sorted_out(record, "cross_patch")
    return (
        f"critical layer of the image surely later in {len(kinds['later'])}, earlier in {len(kinds['earlier'])} of "
        f"{record.count('cross_patch')} pairs; median lag in layers {differences(record, 'cross_patch')}"
    )


SECTION = Section(
    "Does the picture arrive later than the words?",
    [*MEASURES, "freeze"],
    "*Performance Gap in Entity Knowledge Extraction* saw the identity of a pictured entity leave the image tokens late: the "
    "critical layer is 20 of 32 (LLaVA-1.5-7B), 17 (SigLIP) and 24 (CLIP, both LLaVA-MORE).",
    "late: layer 17 to 24 of 32",
    short,
    here,
    tables,
)
