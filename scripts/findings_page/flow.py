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
Pair = tuple[str, str]
Both = tuple[Mapping[str, Any], Mapping[str, Any]]


def both(record: Record, experiment: str) -> dict[Pair, Both]:
    """The layer from text and from the image, with interval and n, of every pair."""
    start = MEASURES[experiment][0]
    found = record.kept(experiment)
    return {of: (kept[f"{start}, text"], kept[f"{start}, image"]) for of, kept in found.items()}


def order(text: Mapping[str, Any], image: Mapping[str, Any]) -> str:
    """Whether the image's layer is surely above the text's: the two intervals are apart."""
    if text["layer"][0] is None or image["layer"][0] is None:
        return "undefined"
    if above(image["layer"], text["layer"][2]):
        return "later"
    return "earlier" if below(image["layer"], text["layer"][1]) else "not told apart"


def sorted_out(record: Record, experiment: str) -> dict[str, list[Pair]]:
    found: dict[str, list[Pair]] = {"later": [], "earlier": [], "not told apart": [], "undefined": []}
    for of, (text, image) in both(record, experiment).items():
        found[order(text, image)].append(of)
    return found


def differences(record: Record, experiment: str) -> list[float | None]:
    layers = [(text["layer"][0], image["layer"][0]) for text, image in both(record, experiment).values()]
    return [None if None in (text, image) else image - text for text, image in layers]


def depth(record: Record) -> str:
    """The image's critical layer as a share of the layers, the median over pairs."""
    layers = {of: kept["layers"] for of, kept in record.kept("similarity").items()}
    found = {of: image["layer"][0] for of, (_, image) in both(record, "cross_patch").items() if of in layers}
    return middle(None if layer is None else layer / layers[of] for of, layer in found.items())


def here(record: Record) -> str:
    told = []
    for experiment, (layer, _) in MEASURES.items():
        kinds = sorted_out(record, experiment)
        counts = ", ".join(f"{kind} in {len(some)}" for kind, some in kinds.items())
        told.append(
            f"{layer} (`{experiment}`): {counts}; median difference {middle(differences(record, experiment), 1, sign='+')}"
        )
    late = sorted_out(record, "cross_patch")["later"]
    frozen = middle((kept[FROZEN]["layer"][0] for kept in record.kept("freeze").values()), 1)
    return (
        f"the image's layer against the text's, of {record.count('cross_patch')} pairs (later, earlier: the two intervals are "
        f"apart). {'. '.join(part[0].upper() + part[1:] for part in told)}. The picture surely decides longer than the words in: "
        f"{listed(map(name, late))}. As a share of the depth, its critical layer is {depth(record)} in the median (the paper: .53 "
        f"to .75). Held at its own positions from the start of the layers that read it, the picture's state "
        f"is enough from layer {frozen} on (`freeze`, median over pairs of the sufficient layer)."
    )


def tables(record: Record) -> list[str]:
    names = [f"{MEASURES[e][0]}, {panel}" for e in MEASURES for panel in PANELS]
    frozen = record.kept("freeze")
    measured = {experiment: both(record, experiment) for experiment in MEASURES}
    pairs = list(dict.fromkeys(of for found in (*measured.values(), frozen) for of in found))
    rows = []
    for of in pairs:
        cells = [one for found in measured.values() for one in found.get(of, (None, None))]
        rows.append([*of, *map(layer_of, cells), layer_of(frozen.get(of, {}).get(FROZEN))])
    meaning = "; ".join(f"{layer.removesuffix(', last position')}: {what}" for layer, what in MEASURES.values())
    return [
        f"Layers count from 0, with intervals and (n); fractions lie between two layers. {meaning[0].upper() + meaning[1:]}; "
        f"sufficient layer: the picture's state there, held until it has been read, is enough for half of the prompts.",
        table(["model", "task", *names, FROZEN], rows),
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
        f"{record.count('cross_patch')} pairs; median difference {middle(differences(record, 'cross_patch'), 1, sign='+')} layers"
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
