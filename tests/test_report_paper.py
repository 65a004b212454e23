"""Figures and tables for papers and notebooks: files, frames, LaTeX, plotly figures and cards."""

import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import report_example
from diptych.errors import InputError
from diptych.figures import Bars, Dumbbells, Figure, Heatmap, Series
from diptych.report.latex import latex
from diptych.report.palette import DIVERGING, FAMILY_COLOURS, SEQUENTIAL
from diptych.report.paper import draw, save_figure
from diptych.result import Result
from test_report import HOSTILE, hostile

KINDS = {
    "heatmap": report_example.gain_map(),
    "curves": report_example.faithfulness("image"),
    "bars": Bars("t $x$", "c", "x", "y", ["a", "b"], [Series("s", [1, None], [0, 1], [2, 3])], [(1.5, "level")]),
    "dumbbells": Dumbbells("t", "c", "x", "y", ["a"], [Series("s", [1], [0], [2]), Series("r", [2])], [(0, "none")]),
    "example": report_example.example(),
    "picture_maps": report_example.picture_maps(),
    "diptych": report_example.diptych(),
}


def written(figure: Figure) -> list[str]:
    """The words in a drawing, which is vector graphics with its letters left as letters."""
    return re.findall(r"<text[^>]*>([^<]*)</text>", draw(figure, ".svg").decode())


@pytest.mark.parametrize(("suffix", "start"), [(".pdf", b"%PDF"), (".png", b"\x89PNG"), (".svg", b"<?xml")])
def test_the_same_figure_is_the_same_file_twice(suffix: str, start: bytes, tmp_path: Path) -> None:
    one, two = (save_figure(KINDS["bars"], tmp_path / name / f"figure{suffix}").read_bytes() for name in "ab")

    assert one == two
    assert one.startswith(start) and len(one) > 5000
    assert b"CreationDate" not in one and b"<dc:date>" not in one


def test_pictures_are_drawn_with_what_is_said_of_them() -> None:
    assert {"layer 6", "layer 12", "fish", "probability"} <= set(written(KINDS["picture_maps"]))
    assert {"heads, text", "neurons, image", " fish", "score"} <= set(written(KINDS["diptych"]))
    words = written(KINDS["example"])
    assert "text: answers 3 (p = 0.94), right" in words and "image: answers 2 (p = 0.58), wrong" in words


def test_a_drawing_has_the_titles_the_labels_and_the_marks() -> None:
    assert {"Gain in image accuracy", "source layer", "target layer", "gain", "chosen on select", "11"} <= set(
        written(KINDS["heatmap"])
    )
    assert {"circuit", "random circuits", "threshold", "minimal circuit"} <= set(written(KINDS["curves"]))
    assert {"t $x$", "level", "a", "b"} <= set(written(KINDS["bars"]))
    assert {"a", "s", "r", "none", "x", "y"} <= set(written(KINDS["dumbbells"]))


def test_a_panel_has_the_same_colour_on_paper() -> None:
    drawn = draw(KINDS["curves"], ".svg").decode().lower()

    assert drawn.count(f"stroke: {FAMILY_COLOURS['image'].lower()}") >= 1
    assert f"stroke: {FAMILY_COLOURS['text'].lower()}" not in drawn


def test_the_colours_of_scales_are_those_of_the_page() -> None:
    style = Path("src/diptych/report/style.css").read_text(encoding="utf-8").split("prefers-color-scheme")[0]

    for name, colours in (("sequential", SEQUENTIAL), ("diverging", DIVERGING)):
        assert f"--{name}: {', '.join(colours)};" in style


def test_every_figure_of_a_result_gets_a_file_of_its_own(tmp_path: Path) -> None:
    result = report_example.results()[0]

    files = result.save_figures(tmp_path, ".svg")

    assert [file.name for file in files] == [f"counting-accuracy-{result.identity['digest']}-{n}.svg" for n in (1, 2)]
    assert all(file.exists() for file in files)


def test_a_name_that_is_no_name_of_a_file_is_made_one(tmp_path: Path) -> None:
    one = replace(hostile(), figures=hostile().figures[1:2])

    [file] = one.save_figures(tmp_path, ".png")

    assert file.parent == tmp_path and re.fullmatch(r"[\w.-]+\.png", file.name)


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"ends with '.jpeg'. Expected one of .pdf, .svg, .png"):
        save_figure(KINDS["bars"], tmp_path / "figure.jpeg")


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(InputError, match="cannot be written to .* Choose a folder"):
        save_figure(KINDS["bars"], tmp_path / "file" / "figure.svg")


@pytest.mark.parametrize(
    ("package", "use"),
    [
        ("matplotlib", lambda result: draw(result.figures[1], ".svg")),
        ("plotly.graph_objects", lambda result: result.plot(1)),
        ("pandas", lambda result: result.to_pandas()),
    ],
)
def test_a_package_that_is_not_installed_is_named(package: str, use: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)

    with pytest.raises(InputError, match=rf"package `{package.split('.')[0]}`.*pip install 'diptych\[papers\]'"):
        use(report_example.results()[0])


def test_the_data_table_is_a_frame() -> None:
    result = report_example.results()[0]

    frame = result.to_pandas()

    assert list(frame.columns) == ["panel", "accuracy", "low", "high", "n", "p"]
    assert frame["accuracy"].tolist() == [row["accuracy"] for row in result.rows]
    assert frame["p"].isna().tolist() == [True, False]


def test_the_data_table_is_latex() -> None:
    table = latex([{"a_b": "50% & $x", "p": 3.1e-7}, {"a_b": "\\{", "p": -0.5}])

    assert table == (
        "\\begin{tabular}{lr}\n\\toprule\na b & p \\\\\n\\midrule\n"
        "50\\% \\& \\$x & 3.1 $\\times$ 10$^{-}$$^{7}$ \\\\\n\\textbackslash{}\\{ & $-$0.500 \\\\\n\\bottomrule\n\\end{tabular}\n"
    )
    assert report_example.results()[0].to_latex().count(r"\\") == 3


def test_a_figure_can_be_looked_into() -> None:
    result = Result(
        {"experiment": "e", "model": "m", "task": "t", "digest": "0"}, "s", [], {}, list(KINDS.values())[:3]
    )

    heat, lines = result.plot(), result.plot(1)

    assert heat.layout.title.text == "Gain in image accuracy"
    assert [colour for _, colour in heat.data[0].colorscale] == list(DIVERGING)
    assert heat.data[0].z[0][1] == pytest.approx(KINDS["heatmap"].values[0][1], rel=1e-5)  # type: ignore[union-attr]
    assert [trace.name for trace in lines.data][-4:-2] == ["circuit", "random circuits"]


def test_a_figure_that_is_not_there_is_refused() -> None:
    with pytest.raises(InputError, match="has no figure 2. It has 2, counted from 0"):
        report_example.results()[0].plot(2)


def test_a_card_shows_the_finding_its_figures_and_its_numbers_and_runs_nothing() -> None:
    result = report_example.results()[0]

    card = result._repr_html_()

    assert result.summary in card and card.count("<img src=") == 2 and card.count("<tr>") == 3
    assert "95% cluster bootstrap, 2,000 draws" in card
    assert "<script" not in card and "http" not in card
    assert card == result._repr_html_()


def test_a_card_shows_sentences_where_figures_cannot_be_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diptych.report.card.find_spec", lambda name: None)

    card = report_example.results()[0]._repr_html_()

    assert "<img" not in card and "the model answers &#39;3&#39; with probability 0.94" in card


def test_text_of_users_is_shown_as_text_in_a_card() -> None:
    plain = replace(hostile(), figures=[Heatmap(*HOSTILE, "y", "v", ["x"], ["y"], [[1.0]])])

    card = plain._repr_html_()

    assert card.count("&lt;/script&gt;") > 3
    assert not re.search(r"<(script|b>\{\{|img src=x)", card)
