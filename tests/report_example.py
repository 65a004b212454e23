"""A hand-made list of results that looks like a real run: for the tests of the report and for looking at it.

Every number is invented by a formula and the model does not exist. `python tests/report_example.py out.html` writes
the page.
"""

import base64
import io
import math
import random
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from diptych.figures import (
    Bars,
    Curves,
    Diptych,
    Example,
    Figure,
    Heatmap,
    Nodes,
    Pair,
    Panel,
    PictureMap,
    PictureMaps,
    Series,
    Side,
)
from diptych.result import Result, Row

TASKS = {"counting": 0.19, "factual_recall": 0.27}
"""Task and its invented gap between the panels."""
LAYERS = 12
NAMES = [str(layer) for layer in range(LAYERS)]
SEGMENTS = ["data", "query", "generation"]
SIZES = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0]
QUERY = ["\n", "How", " many", " fish", "?", "<end>", "assistant"]
TOKENS = {
    "text": ["<s>", "user", "\n", "Sequence", ":", " fish", " ball", " fish", " cup", " fish", " ball", *QUERY],
    "image": ["<s>", "user", "\n", *["<|image_pad|>"] * 36, *QUERY],
}
BANDS = {
    "text": [("prefix", 0, 5), ("data", 5, 11), ("query", 11, 17), ("generation", 17, 18)],
    "image": [("prefix", 0, 3), ("data", 3, 39), ("query", 39, 45), ("generation", 45, 46)],
}


def results() -> list[Result]:
    """Invented results of eight experiments on two tasks."""
    return [result for make in MAKERS for task in TASKS for result in make(task)]


def result(experiment: str, task: str, summary: str, rows: Sequence[Row], *figures: Figure, **more: Any) -> Result:
    """A result with an identity and conditions like those of a real run."""
    parameters = more.get("parameters", {"seed": 0})
    identity = {"experiment": experiment, "version": 1, "parameters": parameters, "task": task, "task_digest": "9d41c0"}
    identity |= {"model": "example/invented-vlm", "revision": "3f2a9c1", "dtype": "bfloat16"}
    identity["digest"] = f"{random.Random(repr(identity)).getrandbits(48):012x}"
    conditions = {"n": 240, "dropped": 11, "split": "test", "selection split": "select", "seed": 0, "dtype": "bfloat16"}
    conditions |= {"interval": "95% cluster bootstrap, 2,000 draws", "kernel": "sdpa"}
    return Result(identity, summary, rows, conditions, figures, notes=more.get("notes", ()))


def picture() -> str:
    """A small drawing as a PNG data URI."""
    image = Image.new("RGB", (168, 168), "#e9ecef")
    pen = ImageDraw.Draw(image)
    for place, colour in enumerate(("#d55e00", "#0072b2", "#d55e00", "#009e73", "#d55e00", "#0072b2")):
        x, y = 28 + 48 * (place % 3), 46 + 62 * (place // 3)
        pen.ellipse((x - 16, y - 16, x + 16, y + 16), fill=colour)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def example() -> Example:
    """One item in two panels, right from text and wrong from the image."""
    segments = {panel: [name for name, start, end in BANDS[panel] for _ in range(start, end)] for panel in BANDS}
    text = Panel("text", TOKENS["text"], segments["text"], "3", 0.94)
    image = Panel("image", TOKENS["image"], segments["image"], "2", 0.58, picture())
    caption = "The same data as words and as a picture, followed by the same question."
    return Example("One item in two panels", caption, "How many fish?", "3", [text, image])


def head_scores(panel: str) -> Heatmap:
    """Scores by layer and position: data early, then query, then generation."""
    noise = random.Random(panel)
    places = {"prefix": (0, 0), "data": (2 if panel == "text" else 5, 0.3), "query": (6, 0.6), "generation": (9.5, 1.6)}
    columns = [places[name] for name, start, end in BANDS[panel] for _ in range(start, end)]
    return Heatmap(
        title=f"Head scores by layer and position, {panel}",
        caption="Sum over a layer's heads, mean over prompts. The prefix is the same in all prompts and scores exactly 0.",
        x_title="token",
        y_title="layer",
        value_title="score",
        x=TOKENS[panel],
        y=NAMES,
        values=[[_bump(y - at, weight, 3) * noise.uniform(0.4, 1.2) for at, weight in columns] for y in range(LAYERS)],
        bands=BANDS[panel],
    )


def gain_map() -> Heatmap:
    """Gain by source and target layer, empty where the target is not below the source, with the chosen cell marked."""
    cells = [[(s, t) if s > t else None for s in range(LAYERS)] for t in range(LAYERS)]
    gains = [[_gain(*cell) if cell else None for cell in row] for row in cells]
    caption = "Accuracy after writing the source layer's data positions into the target layer, minus accuracy without."
    titles = ("source layer", "target layer", "gain")
    return Heatmap("Gain in image accuracy", caption, *titles, NAMES, NAMES, gains, marks=[(8, 2, "chosen on select")])


def faithfulness(panel: str) -> Curves:
    """Faithfulness by circuit size, with an interval."""
    half = 0.006 if panel == "text" else 0.018
    values = [size / (size + half) * (1 + half) for size in SIZES]
    low, high = [v - 0.08 * (1.02 - v) for v in values], [v + 0.06 * (1.02 - v) for v in values]
    drawn = [size / (size + 0.5) * 1.5 for size in SIZES]
    return Curves(
        title=f"Faithfulness by circuit size, {panel}",
        caption="Share of the logit difference that is left when all other nodes have their counterfactual values.",
        x_title="circuit size (share of all nodes)",
        y_title="faithfulness",
        x=SIZES,
        series=[Series("circuit", values, low, high), Series("random circuits", drawn)],
        log_x=True,
        lines_at=[(0.02 if panel == "text" else 0.1, "minimal circuit")],
        levels=[(0.8, "threshold")],
    )


def _accuracy(task: str) -> list[Result]:
    text, image = 0.979, 0.979 - TASKS[task]
    whiskers = ([text - 0.02, text - 0.05], [text + 0.012, text])
    series = [Series("text", [text, text - 0.02], *whiskers)]
    series += [Series("image", [image, image - 0.16], [image - 0.05, image - 0.22], [image + 0.05, image - 0.1])]
    groups = ["all items", "data never seen as an image"]
    caption = "Share of items whose most probable answer is right."
    bars = Bars("Accuracy by panel", caption, "items", "accuracy", groups, series, [(0.125, "commonest answer")])
    rows = [{"panel": "text", "accuracy": text, "low": text - 0.02, "high": text + 0.012, "n": 240, "p": None}]
    rows += [{"panel": "image", "accuracy": image, "low": image - 0.05, "high": image + 0.05, "n": 240, "p": 3.1e-7}]
    said = f"{task.replace('_', ' ')} is answered rightly {text:.1%} from text and {image:.1%} from the image"
    return [result("accuracy", task, f"On the test split, {said}.", rows, example(), bars)]


def _discover(task: str) -> list[Result]:
    said = "From {}, the data is read around layer {} and the answer is formed around layer 9."
    found = []
    for panel, layer in (("text", 2), ("image", 5)):
        rows = [{"segment": name, "positions": end - start, "mean layer": layer} for name, start, end in BANDS[panel]]
        parameters = {"modality": panel, "method": "ap_ig"}
        found.append(
            result("discover", task, said.format(panel, layer), rows, head_scores(panel), parameters=parameters)
        )
    return found


def _faithfulness(task: str) -> list[Result]:
    said = "From {}, {} of the nodes do the task with faithfulness of at least 0.80; random circuits reach {}."
    found = []
    for panel, words in (("text", ("2%", "0.06")), ("image", ("10%", "0.25"))):
        curves = faithfulness(panel)
        rows = [{"size": size, "faithfulness": curves.series[0].values[i]} for i, size in enumerate(SIZES)]
        summary = said.format(panel, *words)
        found.append(result("faithfulness_curve", task, summary, rows, curves, parameters={"modality": panel}))
    return found


def _overlap(task: str) -> list[Result]:
    series = [Series("text and image", [0.04, 0.16, 0.39], [0.02, 0.12, 0.31], [0.07, 0.21, 0.46])]
    series += [Series("ceiling", [0.71, 0.66, 0.78], [0.66, 0.6, 0.7], [0.75, 0.71, 0.84])]
    caption = "Random circuits of the same size have 0. The ceiling compares halves of one panel's prompts."
    bars = Bars("Overlap of the two circuits", caption, "segment", "nIoU", SEGMENTS, series, [(0.0, "random")])
    said = "The circuits share little: nIoU is 0.04 in the data, 0.16 in the query and 0.39 in the generation."
    rows = [
        {"segment": name, "nIoU": value, "percentile": None}
        for name, value in zip(SEGMENTS, series[0].values, strict=True)
    ]
    return [result("overlap", task, said, rows, bars, notes=["No percentiles are drawn here."])]


def _swaps(task: str) -> list[Result]:
    series = [Series("text → image", [0.03, 0.81, 0.98], [-0.04, 0.72, 0.95], [0.1, 0.9, 1.01])]
    series += [Series("image → text", [-0.02, 0.86, 0.99], [-0.1, 0.78, 0.97], [0.05, 0.93, 1.01])]
    levels = [(1.0, "own circuit"), (0.0, "random")]
    titles = ("Faithfulness after swapping one segment", "1 is the panel's own circuit, 0 a random part of that size.")
    bars = Bars(*titles, "segment swapped", "normalised faithfulness", SEGMENTS, series, levels)
    rows = [{"segment": name, "text → image": series[0].values[i]} for i, name in enumerate(SEGMENTS)]
    said = "Query and generation parts can be exchanged (0.83 and 0.99), data parts cannot (0.01)."
    return [result("swap", task, said, rows, bars)]


def _similarity(task: str) -> list[Result]:
    layers = list(range(LAYERS + 1))
    lines = {"same item": (0.42, 1.3), "shuffled items": (0.11, 1.6)}
    values = {
        name: [0.08 + top / (1 + math.exp((7 - x) / width)) for x in layers] for name, (top, width) in lines.items()
    }
    series = [Series(name, v, [y - 0.03 for y in v], [y + 0.03 for y in v]) for name, v in values.items()]
    titles = ("Similarity of image tokens to text tokens", "Mean over image tokens of the largest centred cosine.")
    curves = Curves(*titles, "layer", "cosine", layers, series)
    rows = [{"layer": x, **{name: v[x] for name, v in values.items()}} for x in layers]
    said = (
        "Image tokens come to resemble their words after layer 6: at layer 12 the cosine is 0.49 against 0.19 shuffled."
    )
    return [result("similarity", task, said, rows, curves, picture_maps())]


def picture_maps() -> PictureMaps:
    """One drawing under two layers: a word and a number in each of 2 × 3 cells."""
    words = [["fish", "ball", "fish"], ["cup", "fish", "ball"]]
    maps = [
        PictureMap(
            f"layer {layer}", picture(), [[layer / 20 + x / 10 - y / 4 for x in range(3)] for y in range(2)], words
        )
        for layer in (6, 12)
    ]
    return PictureMaps("Image tokens under the lens", "The likeliest token in each cell.", "probability", maps)


def diptych() -> Diptych:
    """Two prompts in two panels; from the largest circuit down, heads leave it from the left."""
    items = (example(), replace(example(), query="How many cups?", answer="1"))
    pairs = [
        Pair(f"Item {n}", one.query, one.answer, [_side(p, n) for p in one.panels]) for n, one in enumerate(items, 1)
    ]
    said = [f"faithfulness on test: text {size}; image {size / 2}" for size in (0.01, 0.1, 1.0)]
    titles = ("Scores of single prompts in both panels", "Scores of the prompt's own heads.", "score")
    return Diptych(*titles, ["0", "1"], [0.01, 0.1, 1.0], said, 1, pairs)


def _side(panel: Panel, item: int) -> Side:
    """Scores grow along the prompt, in layer 1 with changing sign; the first five positions are in no circuit."""
    count = len(panel.tokens)
    heads = [[(-1) ** (layer * x) * item * x / 8 for x in range(count)] for layer in range(2)]
    neurons = [[value / 3 + 1 for value in row] for row in heads]
    first = [[3 if x < 5 else 2 if x < 8 else 1 for x in range(count)] for _ in range(2)]
    cells = [x for x, name in enumerate(panel.segments) if name == "data"] if panel.picture else []
    return Side(panel, [_nodes("head", heads, first), _nodes("neuron", neurons, [[0] * count] * 2)], cells, 6)


def _nodes(kind: str, scores: list[list[float]], first: list[list[int]]) -> Nodes:
    """The third node of its kind has all the score."""
    named = [
        [[(3, value, places[x])] if value else [] for x, value in enumerate(row)]
        for row, places in zip(scores, first, strict=True)
    ]
    return Nodes(kind, scores, first, named)


def _back_patching(task: str) -> list[Result]:
    rows = [{"source": s, "target": t, "gain": _gain(s, t)} for t in range(LAYERS) for s in range(t + 1, LAYERS)]
    said = "Writing layer 8 into layer 2 adds 2.9 points to image accuracy on the test split [0.4, 5.2]."
    notes = ["Chosen on the select split; chosen and reported on the same prompts it would be 4.1 points."]
    return [result("back_patching", task, said, rows, gain_map(), notes=notes)]


def controls() -> Result:
    """Bars with long names, and a table of 22 columns, as the widest of the experiments has."""
    names = ["text: chosen on select", "image: chosen on select", "text: image's cell, on text", "image: wrong donor"]
    names += ["image: noise of matched norm (3 draws)", *(f"image: round {n}" for n in (1, 2, 3))]
    changes = [0.0, -15.2, -5.1, -25.3, -26.3, -15.2, -16.2, -22.2]
    bars = Bars("Controls", "Change in points.", "what is patched", "points", names, [Series("change", changes)])
    columns = {"accuracy": 0.293, "patched": 0.141, "gain": -0.152, "low": -0.225, "high": -0.08, "McNemar p": 0.00073}
    columns |= {"n": 99, "source": 1, "destination": 0, "window": 1, "gain on select": 0.031, "null 95%": 0.105}
    columns |= {
        "null p": 1.0,
        "gap": 0.667,
        "share of gap": -0.227,
        "share of gap, low": -0.386,
        "share of gap, high": -0.11,
    }
    columns |= {"random parts that gain as much or more": 12, "p": 0.13, "nodes of the circuit's part": 4102}
    rows = [{"panel": name.split(":")[0], "cell": name.split(": ")[1], **columns} for name in names]
    return result("back_patching", "counting", "Nothing helps.", rows, bars)


def _knockout(task: str) -> list[Result]:
    falls = {"text: data to query": 2, "image: data to query": 6, "image: query to generation": 9}
    series = [Series(name, [-_bump(x - at, 0.9, 4) for x in range(LAYERS)]) for name, at in falls.items()]
    titles = (
        "Answer's probability when attention is cut",
        "Relative change when a window of 3 layers around x is cut.",
    )
    curves = Curves(*titles, "layer", "relative change", list(range(LAYERS)), series, levels=[(0.0, "no change")])
    rows = [{"layer": x, **{one.name: one.values[x] for one in series}} for x in range(LAYERS)]
    said = "Cutting data from query hurts most at layer 2 from text and at layer 6 from the image."
    return [result("knockout", task, said, rows, curves)]


MAKERS = (_accuracy, _discover, _faithfulness, _overlap, _swaps, _similarity, _back_patching, _knockout)


def _bump(distance: float, height: float, width: float) -> float:
    return height * math.exp(-(distance**2) / width)


def _gain(source: int, target: int) -> float:
    return _bump(math.hypot(source - 8, target - 2), 0.035, 8) - 0.001 * (source - target)


if __name__ == "__main__":
    from diptych.report.build import build

    build(results(), Path(sys.argv[1]), title="Invented numbers, to look at the page")
