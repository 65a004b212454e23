"""Figures, sentences and tables of the report as plain values."""

from dataclasses import replace

import pytest

import report_example
from diptych.errors import InputError
from diptych.figures import Bars, Curves, Dumbbells, Heatmap, PictureMap, PictureMaps, Series
from diptych.report.figures import side_by_side, to_plotly
from diptych.report.key import key
from diptych.report.palette import FAMILY_COLOURS
from diptych.report.picture_maps import draw, veil
from diptych.report.sentences import describe
from diptych.report.tables import column, csv_of_figure, csv_of_rows, table_of_figure, table_of_rows, text

TITLES = ("title", "caption", "x", "y")


def small_map(values: list[list[float | None]], name: str = "title", **more: object) -> Heatmap:
    columns = [f"c{x}" for x in range(len(values[0]))]
    return Heatmap(name, "caption", "x", "y", "value", columns, ["0", "1"], values, **more)


def test_heatmaps_of_one_row_share_their_colour_scale():
    plots = side_by_side([small_map([[0, 1], [2, 3]]), small_map([[5, 1], [2, None]])])

    assert [(plot["data"][0]["zmin"], plot["data"][0]["zmax"]) for plot in plots] == [(0, 5), (0, 5)]


def test_values_on_both_sides_of_zero_have_zero_in_the_middle_of_the_scale():
    trace = to_plotly(small_map([[-1, 4], [0, None]]))["data"][0]

    assert (trace["zmin"], trace["zmax"], trace["meta"]["scale"]) == (-4, 4, "diverging")
    assert trace["z"] == [[-1, 4], [0, None]]


def test_a_map_without_values_is_drawn():
    trace = to_plotly(small_map([[None, float("nan")], [None, None]]))["data"][0]

    assert trace["zmin"] < trace["zmax"]
    assert trace["z"] == [[None, None], [None, None]]


def test_a_run_of_equal_tokens_is_labelled_once_in_its_middle():
    axis = to_plotly(report_example.head_scores("image"))["layout"]["xaxis"]

    assert axis["ticktext"][3:5] == ["&lt;|image_pad|&gt; ×36", "↵"]
    assert axis["tickvals"][3:5] == [20.5, 39]


def test_long_labels_stand_upright_and_have_room():
    upright, flat = (
        to_plotly(report_example.head_scores("image"))["layout"],
        to_plotly(report_example.gain_map())["layout"],
    )

    assert (upright["xaxis"]["tickangle"], flat["xaxis"]["tickangle"]) == (-90, 0)
    assert upright["margin"]["b"] > flat["margin"]["b"] + 50


def test_each_band_is_a_strip_over_its_columns():
    shapes = to_plotly(small_map([[1, 2], [3, 4]], bands=[("data", 0, 1), ("query", 1, 2)]))["layout"]["shapes"]

    strips = [(shape["name"], shape["x0"], shape["x1"]) for shape in shapes if shape["type"] == "rect"]
    assert strips == [("data", -0.5, 0.5), ("query", 0.5, 1.5)]


def test_a_marked_cell_is_framed_and_named():
    layout = to_plotly(small_map([[1, 2], [3, 4]], marks=[(1, 0, "chosen")]))["layout"]

    assert {(s["x0"], s["x1"], s["y0"], s["y1"]) for s in layout["shapes"]} == {(0.5, 1.5, -0.5, 0.5)}
    assert [(note["x"], note["y"], note["text"]) for note in layout["annotations"]] == [(1, 0, "chosen")]


def test_the_interval_of_a_curve_is_left_out_where_it_is_unknown():
    series = Series("s", [1, 2, 3, 4], [0, None, 2, 3], [2, 3, 4, 5])

    band, line = to_plotly(Curves(*TITLES, [1, 2, 3, 4], [series]))["data"]

    assert band["x"] == [1, 1, None, None, 3, 4, 4, 3, None]
    assert band["y"] == [0, 2, None, None, 2, 3, 5, 4, None]
    assert line["y"] == [1, 2, 3, 4]


def test_lines_and_levels_of_curves_are_in_the_key():
    figure = report_example.faithfulness("text")
    plot = to_plotly(figure)

    assert [(shape["x0"], shape["y0"]) for shape in plot["layout"]["shapes"]] == [(0.02, 0), (0, 0.8)]
    assert plot["layout"]["xaxis"]["type"] == "log"
    names = ["circuit", "random circuits", "minimal circuit", "threshold"]
    assert [entry.name for entry in key(figure)] == names
    assert [entry.mark for entry in key(figure)] == ["line", "line", "vertical", "level"]
    assert [trace["name"] for trace in plot["data"] if trace.get("showlegend", True)] == names


def test_the_key_tells_several_levels_by_their_values():
    bars = Bars(*TITLES, ["a"], [Series("s", [1])], [(0, "none"), (1.5, "all")])

    assert [entry.name for entry in key(bars)] == ["none (0)", "all (1.5)"]


def test_layers_are_whole_numbers_on_the_axis():
    def ticks(*x: float) -> dict[str, object]:
        return to_plotly(Curves(*TITLES, x, [Series("s", [1.0] * len(x))]))["layout"]["xaxis"]

    assert ticks(0, 1)["dtick"] == 1
    assert "dtick" not in ticks(0, 0.5, 1) and "dtick" not in ticks(0, 30)


def test_dumbbells_join_the_points_of_a_category():
    series = [Series("text", [0.75, 1.0], [0.5, 1.0], [1.0, 1.0]), Series("image", [0.25, None])]
    figure = Dumbbells(*TITLES, ["capital", "currency"], series, [(0.5, "half")])

    plot = to_plotly(figure)

    text_points, image_points, _ = plot["data"]
    assert (text_points["x"], image_points["x"]) == ([0.75, 1.0], [0.25, None])
    assert text_points["error_x"]["array"] == [0.25, 0] and text_points["y"][1] < 1 < image_points["y"][1]
    rods = [(shape["x0"], shape["x1"]) for shape in plot["layout"]["shapes"] if shape["type"] == "rect"]
    assert rods == [(0.25, 0.75), (1.0, 1.0)]
    assert plot["layout"]["yaxis"]["ticktext"] == ["capital", "currency"]
    assert [entry.mark for entry in key(figure)] == ["point", "point", "level"]
    assert describe(figure) == "Y by x: farthest apart for capital (text 0.75, image 0.25)."
    assert table_of_figure(figure).rows[0] == ("capital", "0.75", "0.5", "1", "0.25")


def test_a_logarithmic_axis_refuses_zero():
    with pytest.raises(InputError, match=r"x = \[0\].*log_x=False"):
        to_plotly(Curves(*TITLES, [0, 1], [Series("s", [1, 2])], log_x=True))


def test_the_whiskers_of_bars_end_at_low_and_high():
    (bar,) = to_plotly(Bars(*TITLES, ["a", "b"], [Series("s", [3, 4], [2.5, None], [3.25, 6])]))["data"]

    assert bar["error_y"]["array"] == [0.25, 2]
    assert bar["error_y"]["arrayminus"] == [0.5, None]


def test_charts_of_one_row_share_their_y_axis():
    one, two = (Curves(*TITLES, [1], [Series("s", [value])]) for value in (0.0, 10.0))

    assert [plot["layout"]["yaxis"]["range"] for plot in side_by_side([one, two])] == [[-0.6, 10.6]] * 2
    assert to_plotly(one)["layout"]["yaxis"]["range"] == [-0.06, 1.06]
    assert to_plotly(two)["layout"]["yaxis"]["range"] == [-0.6, 10.6]


def test_a_panel_has_one_colour_and_repeated_colours_differ_in_dash():
    names = ["image: a", "text", "image: b", "other"]
    series = [Series(name, [1]) for name in names]

    lines = to_plotly(Curves(*TITLES, [1], series))["data"]

    image, other, again, last = (trace["line"] for trace in lines)
    assert image["color"] == again["color"] == FAMILY_COLOURS["image"]
    assert other["color"] == FAMILY_COLOURS["text"]
    assert (image["dash"], again["dash"]) == ("solid", "dash")
    assert last["color"] not in FAMILY_COLOURS.values()


def test_the_first_series_of_a_panels_figure_has_the_panels_colour():
    lines = to_plotly(report_example.faithfulness("image"))["data"][1:3]

    assert [line["line"]["color"] for line in lines] == [FAMILY_COLOURS["image"], FAMILY_COLOURS["random"]]


def test_an_example_has_no_plot():
    with pytest.raises(InputError, match=r"No plot for figures of kinds \['Example'\]"):
        to_plotly(report_example.example())


def test_figures_of_two_kinds_do_not_share_a_row():
    with pytest.raises(InputError, match=r"\['Bars', 'Heatmap'\]"):
        side_by_side([small_map([[1], [2]]), Bars(*TITLES, ["a"], [Series("s", [1])])])


def test_the_sentence_of_a_map_says_where_the_extremes_and_marks_are():
    figure = small_map([[0.5, None], [0.25, -2]], bands=[("data", 0, 1)], marks=[(0, 1, "chosen")])

    assert describe(figure) == (
        "Map of value over x (2) and y (2): highest 0.5 at y 0, x c0 in data; lowest −2 at y 1, x c1. "
        "Marked: chosen at y 1, x c0 in data."
    )


def test_the_sentence_of_curves_follows_each_line():
    curves = Curves(*TITLES, [1, 2, 3], [Series("s", [0.5, 2, 1]), Series("t", [None] * 3)], levels=[(0.8, "goal")])

    assert describe(curves) == (
        "Y against x: s goes from 0.5 at 1 to 1 at 3, highest 2 at 2; t has no values. Lines: goal at y 0.8."
    )


def test_the_sentence_of_bars_names_the_highest_and_the_lowest():
    bars = Bars(*TITLES, ["a", "b"], [Series("s", [1, 2]), Series("t", [None, 0.5])])

    assert describe(bars) == "Y by x: highest 2 (s, b); lowest 0.5 (t, b)."


def test_the_sentence_of_an_example_says_which_panel_is_right():
    sentence = describe(report_example.example())

    assert "from the text the model answers '3' with probability 0.94, which is right" in sentence
    assert "from the image the model answers '2' with probability 0.58, which is wrong" in sentence


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "n/a"),
        (float("nan"), "n/a"),
        (float("inf"), "n/a"),
        (True, "yes"),
        (240, "240"),
        (-3, "−3"),
        (0.0, "0"),
        (-0.0, "0"),
        (0.83124, "0.831"),
        (0.0012345, "0.0012"),
        (3.1e-7, "3.1 × 10⁻⁷"),
        (-1234.5678, "−1235"),
        (12.3456, "12.35"),
        ("a-b", "a-b"),
    ],
)
def test_a_number_has_sensible_digits(value, shown):
    assert text(value) == shown


def test_numbers_of_one_column_have_one_number_of_decimals():
    assert column([0.5, 0.8312345, None, 1.0]) == ["0.500", "0.831", "n/a", "1.000"]
    assert column([0.001, 0.5, 1.0]) == ["0.001", "0.500", "1.000"]
    assert column([0.00012, 0.9]) == ["0.00012", "0.900"]


def test_what_rounding_leaves_of_zero_is_shown_as_zero():
    assert column([0.1, -1.7e-18, 2e-17]) == ["0.1", "0.0", "0.0"]
    assert column([1.0, 3e-16]) == ["1", "3.0 × 10⁻¹⁶"]


def test_the_table_of_rows_has_a_column_per_key_in_order_of_appearance():
    table = table_of_rows([{"a_name": "x"}, {"a_name": "y", "n": 3}])

    assert table.columns == ["a name", "n"]
    assert table.rows == [("x", "n/a"), ("y", "3")]
    assert table.numeric == [False, True]
    assert table_of_rows([{"unknown": None}]).numeric == [True]


def test_the_table_of_a_figure_holds_its_numbers_and_intervals():
    table = table_of_figure(Bars(*TITLES, ["a", "b"], [Series("s", [1, 2], [0, 1], [2, None])]))

    assert table.columns == ["x", "s", "s, low", "s, high"]
    assert table.rows == [("a", "1", "0", "2"), ("b", "2", "1", "n/a")]


def test_the_table_of_a_map_has_a_row_per_layer():
    table = table_of_figure(small_map([[1, 2], [None, 4]]))

    assert table.columns == ["y \\ x", "c0", "c1"]
    assert table.rows == [("0", "1", "2"), ("1", "n/a", "4")]


def test_a_download_holds_the_numbers_of_the_figure_to_six_digits():
    figure = small_map([[0.1234567, 2], [None, float("nan")]])

    assert csv_of_figure(figure) == "y \\ x,c0,c1\n0,0.123457,2\n1,,\n"
    assert csv_of_rows([{"a, b": 1 / 3}, {"c": 'say "x"'}]) == 'a, b,c\n0.333333,\n,"say ""x"""\n'.replace(
        "a, b", '"a, b"'
    )


def maps(*values: list[list[float | None]], words: list[list[str]] | None = None) -> PictureMaps:
    picture = report_example.picture()
    return PictureMaps(
        "t", "c", "share", [PictureMap(f"map {n}", picture, v, words or ()) for n, v in enumerate(values)]
    )


def test_maps_over_pictures_share_one_scale_from_zero():
    figure = maps([[0.5, 0.25]], [[1.0, None]])

    (sheet,) = draw(figure)

    assert veil(figure) == ("sequential", 0.0, 1.0)
    assert [[cell.share for cell in one.cells] for one in sheet.maps] == [[0.5, 0.25], [1.0, 0.0]]
    assert sheet.maps[1].cells[1].title == "row 1, column 2: n/a"


def test_negative_cells_of_a_picture_have_a_tint_of_their_own():
    figure = maps([[-4.0, 2.0]])

    cells = draw(figure)[0].maps[0].cells

    assert veil(figure) == ("diverging", -4.0, 4.0)
    assert [(cell.share, cell.negative) for cell in cells] == [(1.0, True), (0.5, False)]


def test_a_map_of_zeros_is_not_tinted():
    figure = maps([[0.0, None]])

    assert veil(figure) == ("sequential", 0.0, 1.0)
    assert [cell.share for cell in draw(figure)[0].maps[0].cells] == [0.0, 0.0]


def test_the_sentence_of_maps_over_pictures_says_where_the_extremes_are():
    sentence = describe(maps([[0.5, 0.25]], [[1.0, None], [0.75, 0.125]]))

    assert sentence == (
        "Share over the cells of 1 picture: highest 1 at row 1, column 1 of 'map 1'; lowest 0.125 at row 2, column 2 of 'map 1'."
    )
    assert describe(maps([[None]])) == "Share over the cells of pictures, without values."


def test_the_table_of_maps_over_pictures_has_a_row_per_row_of_cells():
    table = table_of_figure(maps([[0.5, 0.25]], [[1.0], [0.75]]))

    assert table.columns == ["map", "row", "column 1", "column 2"]
    assert list(table.rows) == [
        ("map 0", "1", "0.50", "0.25"),
        ("map 1", "1", "1.00", "n/a"),
        ("map 1", "2", "0.75", "n/a"),
    ]
    worded = table_of_figure(maps([[0.5]], words=[["cup"]]))
    assert (worded.columns, list(worded.rows)) == (["map", "row", "column 1", "word 1"], [("map 0", "1", "0.5", "cup")])


def test_the_sentence_and_the_table_of_a_diptych_say_where_its_scores_are_highest():
    figure = report_example.diptych()

    assert describe(figure) == (
        "Score over 2 prompts in two panels, by layer (2) and circuit size: highest 11.25 at heads of layer 0, "
        "'assistant' of the image, Item 2."
    )
    table = table_of_figure(figure)
    assert len(table.rows) == 2 * 2 * (18 + 46)
    assert table.rows[5] == ("Item 1", "text", "5", " fish", "data", "heads", "0", "0.62")
    assert table.rows[18 + 4] == ("Item 1", "text", "4", ":", "prefix", "neurons", "0", "1.17")
    assert describe(replace(figure, pairs=[])).endswith("circuit size, without values.")
