"""Results are plain JSON: everything comes back as it was, and what is damaged is refused."""

import json
import math
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import pytest

from diptych.errors import InputError, StoreError
from diptych.figures import (
    KINDS,
    Bars,
    Curves,
    Diptych,
    Dumbbells,
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
from diptych.result import FORMAT, Result, numbers

PNG = "data:image/png;base64,iVBORw0KGgo="

NODES = Nodes("head", [[0.5]], [[1]], [[[[2, 0.5, 1]]]])  # type: ignore[list-item]
SIDE = Side(Panel("text", ["x"], ["data"], "a", 0.5), [NODES], [0], 1)
FIGURES: dict[str, Figure] = {
    "heatmap": Heatmap("t", "c", "x", "y", "v", ["a", "b"], ["0"], [[0.5, None]], [["data", 0, 1]], [[1, 0, "best"]]),  # type: ignore[list-item]
    "curves": Curves("t", "c", "x", "y", [0.1, 1], [Series("s", [1, 2], [0.5, 1], [3, 4])], True, [[0.5, "half"]], [[0.8, "enough"]]),  # type: ignore[list-item]
    "bars": Bars("t", "c", "x", "y", ["text", "image"], [Series("s", [1, 2]), Series("r", [3, None])], [[0.25, "chance"]]),  # type: ignore[list-item]
    "dumbbells": Dumbbells("t", "c", "x", "y", ["type"], [Series("text", [1]), Series("image", [None])], [[0.25, "chance"]]),  # type: ignore[list-item]
    "example": Example("t", "c", "Which?", "a", [Panel("image", ["<img>", "Which?"], ["data", "query"], "b", 0.75, PNG)]),
    "diptych": Diptych("t", "c", "v", ["0"], [0.1, 1.0], ["", "all"], 1, [Pair("i", "Which?", "a", [SIDE])]),
    "picture_maps": PictureMaps("t", "c", "v", [PictureMap("layer 2", PNG, [[0.5, None]], [["a", "b"]])]),
}  # fmt: skip


def result(**changes: Any) -> Result:
    identity = {
        "experiment": "overlap",
        "model": "m",
        "task": "t",
        "digest": "0123456789ab",
        "uses": {"discover": "ab"},
    }
    rows = [{"segment": "data", "nIoU": 0.5, "n": 3, "kept": True, "note": None}]
    plain = Result(
        identity,
        "nIoU is .5.",
        rows,
        {"n": 3, "kernel": "sdpa", "seed": 0},
        list(FIGURES.values()),
        ["scores"],
        ["Small."],
    )
    return replace(plain, **changes)


def damaged(change: Callable[[dict[str, Any]], Any]) -> str:
    """A result's JSON after a change."""
    plain = json.loads(result().to_json())
    change(plain)
    return json.dumps(plain)


def test_there_is_an_example_of_every_kind_of_figure() -> None:
    assert {kind: type(figure) for kind, figure in FIGURES.items()} == KINDS


@pytest.mark.parametrize("kind", FIGURES)
def test_a_figure_comes_back_with_every_field(kind: str) -> None:
    figure = FIGURES[kind]
    assert all(getattr(figure, field.name) for field in fields(figure))  # no field is left at an empty default

    (found,) = Result.from_json(result(figures=[figure]).to_json()).figures

    assert found == figure


def test_a_result_comes_back_with_every_field() -> None:
    assert Result.from_json(result().to_json()) == result()


def test_columns_come_back_in_their_order() -> None:
    row = {"size": 0.1, "faithfulness": 0.5, "n": 3, "low": 0.2}

    (found,) = Result.from_json(result(rows=[row]).to_json()).rows

    assert list(found) == list(row) != sorted(row)


def test_equal_results_give_equal_bytes_also_when_read_back() -> None:
    assert result().to_json() == result().to_json() == Result.from_json(result().to_json()).to_json()


def test_a_column_of_numbers_has_none_for_what_is_no_number() -> None:
    rows = [{"nIoU": 0.5}, {"nIoU": None}, {"nIoU": "undefined"}, {"nIoU": 0}]

    assert numbers(rows, "nIoU") == [0.5, None, None, 0]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_written_as_null_wherever_it_is(value: float) -> None:
    curves = Curves("t", "c", "x", "y", [1.0], [Series("s", (value,), (value,), (value,))])
    text = result(rows=[{"F": value}], conditions={"size": value}, figures=[curves]).to_json()

    found = Result.from_json(text)

    assert (found.rows, found.conditions) == ([{"F": None}], {"size": None})
    assert found.figures[0].series == [Series("s", [None], [None], [None])]  # type: ignore[union-attr]


@pytest.mark.parametrize("text", ["", "{", "nonsense", result().to_json()[:-1], "{'format': 1}"])
def test_text_that_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(StoreError, match="Not a result: .*The file is damaged; delete it and run again"):
        Result.from_json(text)


VERSIONS: dict[str, tuple[str, object]] = {
    "newer": (damaged(lambda plain: plain.update(format=FORMAT + 1)), FORMAT + 1),
    "none": (damaged(lambda plain: plain.pop("format")), None),
    "a list": ("[]", "list"),
    "a number": ("3", "int"),
}


@pytest.mark.parametrize("what", VERSIONS)
def test_another_version_s_layout_is_refused(what: str) -> None:
    text, found = VERSIONS[what]

    with pytest.raises(
        StoreError, match=f"has layout version {found}; this diptych reads {FORMAT}. Run it again, or use the diptych"
    ):
        Result.from_json(text)


DAMAGE: dict[str, Callable[[dict[str, Any]], Any]] = {
    "no rows": lambda plain: plain.pop("rows"),
    "no figures": lambda plain: plain.pop("figures"),
    "no identity": lambda plain: plain.update(identity=None),
    "an unknown field": lambda plain: plain.update(extra=1),
    "figures that are no list": lambda plain: plain.update(figures=3),
    "a figure that is no mapping": lambda plain: plain.update(figures=["heatmap"]),
    "a figure without kind": lambda plain: plain["figures"][0].pop("kind"),
    "an unknown kind of figure": lambda plain: plain["figures"][0].update(kind="pie"),
    "a figure without title": lambda plain: plain["figures"][0].pop("title"),
    "a series that is no mapping": lambda plain: plain["figures"][1].update(series=[3]),
    "a panel without tokens": lambda plain: plain["figures"][4]["panels"][0].pop("tokens"),
    "a heatmap cut short": lambda plain: plain["figures"][0].update(values=[]),
    "an identity without digest": lambda plain: plain["identity"].pop("digest"),
    "no summary": lambda plain: plain.update(summary=""),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_result_with_damaged_fields_is_refused(what: str) -> None:
    with pytest.raises(StoreError, match=f"fields are not those of layout version {FORMAT}: .*Delete it and run again"):
        Result.from_json(damaged(DAMAGE[what]))


def test_a_result_without_identity_is_refused() -> None:
    with pytest.raises(InputError, match=r"identity lacks \['model', 'digest'\]. Make it with `diptych.run.identity`"):
        result(identity={"experiment": "overlap", "task": "t"})


def test_a_result_without_summary_is_refused() -> None:
    with pytest.raises(InputError, match="needs a one-sentence summary"):
        result(summary="")


SHORT: dict[str, tuple[Callable[[], Any], str]] = {
    "a lower bound": (lambda: Series("s", [1, 2], low=[0]), "Series 's' has 1 entries in low; expected 2"),
    "an upper bound": (lambda: Series("s", [1, 2], high=[0, 1, 2]), "Series 's' has 3 entries in high; expected 2"),
    "the rows of a heatmap": (
        lambda: replace(FIGURES["heatmap"], y=["0", "1"]),
        "Heatmap 't' has 1 entries in values; expected 2",
    ),
    "a row of a heatmap": (
        lambda: replace(FIGURES["heatmap"], x=["a"]),
        "Heatmap 't' has 2 entries in row; expected 1",
    ),
    "a line": (
        lambda: replace(FIGURES["curves"], x=[1, 2, 3]),
        "Curves 't', series 's' has 2 entries in values; expected 3",
    ),
    "a set of bars": (
        lambda: replace(FIGURES["bars"], categories=["text"]),
        "Bars 't', series 's' has 2 entries in values; expected 1",
    ),
    "a row of cells": (
        lambda: PictureMap("m", PNG, [[1, 2], [3]]),
        "Picture map 'm' has 1 entries in row; expected 2",
    ),
    "the rows of words": (
        lambda: PictureMap("m", PNG, [[1, 2], [3, 4]], [["a", "b"]]),
        "Picture map 'm' has 1 entries in words; expected 2",
    ),
    "a row of words": (
        lambda: PictureMap("m", PNG, [[1, 2]], [["a"]]),
        "Picture map 'm' has 1 entries in words; expected 2",
    ),
    "the segments": (
        lambda: Panel("text", ["a", "b"], ["data"], "c", 0.5),
        "Panel 'text' has 1 entries in segments; expected 2",
    ),
}


@pytest.mark.parametrize("what", SHORT)
def test_parts_of_different_lengths_are_refused(what: str) -> None:
    make, message = SHORT[what]

    with pytest.raises(InputError) as raised:
        make()

    assert message in str(raised.value)


ELSEWHERE = "https://example.org/cat.png"


@pytest.mark.parametrize(
    ("owner", "make"),
    [
        ("Panel 'image'", lambda: Panel("image", ["a"], ["data"], "b", 0.5, picture=ELSEWHERE)),
        ("Picture map 'm'", lambda: PictureMap("m", ELSEWHERE, [[1.0]])),
    ],
)
def test_a_picture_that_is_not_in_the_report_itself_is_refused(owner: str, make: Callable[[], Any]) -> None:
    with pytest.raises(
        InputError, match=f"{owner} has a picture that begins with 'https://example.org/'. Expected a PNG"
    ):
        make()


@pytest.mark.parametrize("values", [[], [[]]])
def test_a_picture_without_cells_is_refused(values: list[list[float]]) -> None:
    with pytest.raises(InputError, match="Picture map 'm' has no cells. Expected at least one row and one column"):
        PictureMap("m", PNG, values)
