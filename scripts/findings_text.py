"""docs/findings.md as text: tables of the record, each beside what the papers saw and how often the organisms agree."""

from collections.abc import Callable, Iterable
from itertools import groupby
from typing import Any

Entry = dict[str, Any]
SEGMENTS = ("data", "query", "generation")
HEAD = """# Findings on the organisms

What diptych finds in the three models that it ships, whether or not the papers found the like. Made by
`scripts/findings.py` from the studies `scripts/findings.yaml` and `scripts/findings-entities.yaml`; every number is in
`findings.json`, every prompt of every result can be computed again. Test split unless said otherwise, about 100 prompts
per split (210 questions about 60 countries for entities), 95 % intervals in brackets, float32 on a CPU.

The organisms are tiny (8 to 10 layers) and learnt little besides these tasks, so nothing here says how a large model works.
`qwen2vl` and `llava` were trained on both panels together; the decoder of `gemma3` never learnt from a picture.
"""


def render(entries: list[Entry]) -> str:
    parts = [HEAD]
    for title, paper, table, verdict in SECTIONS:
        parts.append(f"## {title}\n\n{paper}\n\n{table(entries)}\n\n{verdict(entries)}\n")
    return "\n".join(parts)


def of(entries: Iterable[Entry], experiment: str) -> list[Entry]:
    return [entry for entry in entries if entry["experiment"] == experiment]


def table(columns: list[str], rows: Iterable[list[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def name(entry: Entry) -> list[str]:
    return [entry["model"].removeprefix("organism/"), entry["task"]]


def number(value: Any, digits: int = 2, factor: float = 1, sign: str = "") -> str:
    return "–" if value is None else f"{factor * value:{sign}.{digits}f}"


def bounds(value: list[Any] | None, digits: int = 2, factor: float = 1, sign: str = "") -> str:
    if value is None or value[0] is None:
        return "–"
    found = [number(one, digits, factor, sign) for one in value[:3]]
    return f"{found[0]} [{found[1]}, {found[2]}]"


def mean(values: Iterable[Any]) -> str:
    defined = [value for value in values if value is not None]
    return number(sum(defined) / len(defined)) if defined else "undefined"


def tasks(entries: list[Entry]) -> str:
    curves = {(*name(e), e["kept"]["panel"]): e["kept"] for e in of(entries, "faithfulness_curve")}
    rows = []
    for entry in of(entries, "accuracy"):
        kept = entry["kept"]
        sizes = [curves[(*name(entry), panel)] for panel in ("text", "image")]
        told = [f"{number(one['size'], 1, 100)} % ({number((one.get('F') or [None])[0])})" for one in sizes]
        rows.append([*name(entry), *(bounds(kept[panel], 1, 100) for panel in ("text", "image")), *told])
    return table(["model", "task", "text, % right", "image, % right", "text circuit (F)", "image circuit (F)"], rows)


def said_tasks(entries: list[Entry]) -> str:
    sizes = {panel: [] for panel in ("text", "image")}
    for entry in of(entries, "faithfulness_curve"):
        sizes[entry["kept"]["panel"]].append(entry["kept"]["size"])
    text, image = (mean(None if one is None else 100 * one for one in sizes[panel]) for panel in ("text", "image"))
    worse = sum(e["kept"]["image"][2] < e["kept"]["text"][0] for e in of(entries, "accuracy"))
    return (
        f"Here: {text} and {image} % on average. In {worse} of {len(of(entries, 'accuracy'))} pairs of model and task the "
        f"image's whole interval lies below the text's accuracy."
    )


def overlaps(entries: list[Entry]) -> str:
    rows = [
        [*name(e), *(f"{bounds(v)}; {number(v[3])}" if (v := e["kept"].get(s)) else "–" for s in SEGMENTS)]
        for e in of(entries, "overlap")
    ]
    return table(["model", "task", *(f"{segment}: nIoU; of ceiling" for segment in SEGMENTS)], rows)


def said_overlaps(entries: list[Entry]) -> str:
    found = [e["kept"] for e in of(entries, "overlap")]
    means = ", ".join(f"{s} {mean(kept[s][0] for kept in found if s in kept)}" for s in SEGMENTS)
    order = sum(all(s in k for s in SEGMENTS) and k["data"][0] < min(k["query"][0], k["generation"][0]) for k in found)
    return f"Here, on average: {means}. Data overlaps least of the three in {order} of {len(found)}."


def swaps(entries: list[Entry]) -> str:
    parts = [f"{part}, {nodes}" for part in (*SEGMENTS, "whole") for nodes in ("carried", "as many")]
    rows = [[*name(e), *(bounds(e["kept"].get(part)) for part in parts)] for e in of(entries, "swap")]
    return table(["model", "task", *parts], rows)


def said_swaps(entries: list[Entry]) -> str:
    found = [e["kept"] for e in of(entries, "swap")]
    means = [
        f"{s} {mean(kept.get(f'{s}, {nodes}', [None])[0] for kept in found)} ({nodes})"
        for s in SEGMENTS
        for nodes in ("carried", "as many")
    ]
    return (
        f"Here, means of those defined: {', '.join(means)}. *Carried*: all the other panel's nodes, in the data at every data "
        f"position; *as many*: its highest-ranked, as many as the part replaced. Where random nodes do nearly as well as the "
        f"panel's own (–, or a wide interval), nothing can be said."
    )


def similarities(entries: list[Entry]) -> str:
    rows = [
        [
            *name(e),
            f"{e['kept']['layer']} of {e['kept']['layers']}",
            bounds(e["kept"]["difference"], 3),
            number(e["kept"]["p"], 4),
        ]
        for e in of(entries, "similarity")
    ]
    return table(["model", "task", "closest after layer", "own less other pairs, centred cosine", "p, any layer"], rows)


def said_similarities(entries: list[Entry]) -> str:
    found = [e["kept"] for e in of(entries, "similarity")]
    late = sum(2 * kept["layer"] >= kept["layers"] for kept in found)
    return f"Here the peak lies in the second half of the layers in {late} of {len(found)}."


def repairs(entries: list[Entry]) -> str:
    rows = []
    for entry in of(entries, "back_patching"):
        kept = entry["kept"]
        source, destination, window = kept["cell"]
        points = [number(kept[name], 1, 100, "+") for name in ("null 95%", "in-sample", "wrong donor")]
        gap = [number(kept["gap"], 1, 100, "+"), bounds(kept["gain"], 1, 100, "+")]
        rows.append([*name(entry), *gap, *points, f"{source} → {destination}, {window}"])
    return table(
        ["model", "task", "gap", "gain of the chosen cell", "null, 95 %", "best in-sample", "wrong donor", "cell"], rows
    )


def said_repairs(entries: list[Entry]) -> str:
    found = [e["kept"] for e in of(entries, "back_patching")]
    sure = sum(kept["gain"][1] > 0 for kept in found)
    above = sum(kept["gain"][1] > 0 and kept["gain"][0] > kept["null 95%"] for kept in found)
    regret = mean(100 * e["kept"]["first order"][0] for e in of(entries, "cell_prediction"))
    short = mean(
        100 * value[0]
        for e in of(entries, "cell_prediction")
        for way, value in e["kept"].items()
        if way.startswith("best of")
    )
    guided = [e["summary"] for e in of(entries, "guided_back_patching") if e["kept"]["whole"][1] > 0]
    told = " ".join(guided) if guided else "so `guided_back_patching` has no repair to trace to a circuit."
    return (
        f"Here, in points: mean gain of the chosen cell {mean(100 * kept['gain'][0] for kept in found)}, of the best cell "
        f"in-sample {mean(100 * kept['in-sample'] for kept in found)}. The chosen cell's interval lies above 0 in {sure} of "
        f"{len(found)}, {above} of them also above the null's 95 %. Predicting the cell costs {regret} points by first order "
        f"alone and {short} with a shortlist of five. Where the gain is surely above 0: {told}"
    )


def flows(entries: list[Entry]) -> str:
    wanted = {
        "knockout": ("reading layer, text", "reading layer, image"),
        "cross_patch": ("critical layer, text", "critical layer, image"),
        "freeze": ("sufficient layer",),
        "identify": ("identified layer, last position, text", "identified layer, last position, image"),
        "visual_integration": ("integration layer, text", "integration layer, image"),
    }
    columns = [one for names in wanted.values() for one in names]
    found = [e for e in entries if e["experiment"] in wanted]
    rows = []
    for who, some in groupby(sorted(found, key=name), key=name):
        kept = {key: value for entry in some for key, value in entry["kept"].items()}
        rows.append([*who, *(bounds(kept.get(column), 1) for column in columns)])
    return table(["model", "task", *columns], rows)


def said_flows(entries: list[Entry]) -> str:
    found = [e["kept"] for e in of(entries, "cross_patch")]
    pairs = [(kept["critical layer, text"], kept["critical layer, image"]) for kept in found]
    later = sum(None not in (*text, *image) and image[1] > text[2] for text, image in pairs)
    earlier = sum(None not in (*text, *image) and image[2] < text[1] for text, image in pairs)
    return (
        f"Here the critical layer of the image lies surely above that of the text in {later} of {len(found)} pairs, surely "
        f"below it in {earlier}. Layers count from 0; a critical layer of 0.7 is between the input of layer 0 and of layer 1."
    )


def entities(entries: list[Entry]) -> str:
    rows = []
    for entry in of(entries, "entity_gap"):
        kept = entry["kept"]
        told = [
            f"{kept['identified']} of {kept['entities']}",
            *(number(kept[panel], 1, 100) for panel in ("text", "image")),
        ]
        rows.append([name(entry)[0], *told, bounds(kept["gap"], 1, 100, "+"), f"{kept['p']:.2g}"])
    return table(["model", "countries named", "by name, %", "by flag, %", "gap, points", "Wilcoxon p"], rows)


def said_entities(entries: list[Entry]) -> str:
    sure = sum(e["kept"]["gap"][1] > 0 for e in of(entries, "entity_gap"))
    return f"Here the gap is surely above 0 in {sure} of {len(of(entries, 'entity_gap'))} models."


Section = tuple[str, str, Callable[[list[Entry]], str], Callable[[list[Entry]], str]]
SECTIONS: list[Section] = [
    (
        "Accuracy and circuits",
        "*Same Task, Different Circuits* found minimal circuits of 5.3 % (text) and 13.1 % (image) of the nodes on average.",
        tasks,
        said_tasks,
    ),
    (
        "Overlap",
        "The paper's published means are data .045, query .127, generation .387, by a formula that its code got wrong. 0: random "
        "circuits of these sizes, 1: identical; of ceiling: relative to circuits found twice from one panel.",
        overlaps,
        said_overlaps,
    ),
    (
        "Swaps",
        "The paper: query .83, generation .99, data about 0 (0: random nodes, 1: the panel's own).",
        swaps,
        said_swaps,
    ),
    (
        "Similarity by layer",
        "The paper: image states come close to the text's late in the network.",
        similarities,
        said_similarities,
    ),
    (
        "Back-patching",
        "The paper: +4.6 points on average, chosen and reported on the same prompts. All numbers are points of accuracy; the "
        "null is of the best of all cells if none helped.",
        repairs,
        said_repairs,
    ),
    (
        "Where information flows",
        "*Performance Gap in Entity Knowledge Extraction*: identity leaves the image tokens late, by layer 17 to 24 of 32.",
        flows,
        said_flows,
    ),
    (
        "Entities",
        "The paper: gaps of 4 to 18 points between questions by name and by picture.",
        entities,
        said_entities,
    ),
]
