"""Where the data are: the rule that the encoder uses, on prompts of the paper's models and on named parts (methods §2)."""

import json
from itertools import accumulate, pairwise

import pytest

from diptych.errors import InputError
from diptych.layout import Layout, position_map
from diptych.locate import image_layout, name_parts, overlapping, picture_cells, picture_grid, text_layout
from laws import REFERENCE

REAL = json.loads((REFERENCE / "reference_task_positions.json").read_text())["models"]
CASES = [(model, task) for model, tasks in REAL.items() for task in tasks]

SYSTEM = ["<|im_start|>", "system", "\n", "You", " are", " a", " helpful", " assistant", ".", "<|im_end|>", "\n"]
OPENING = {
    "qwen2-7b-vl-instruct": [*SYSTEM, "<|im_start|>", "user", "\n"],
    "pixtral-12b": ["<s>", "[INST]"],
    "gemma-3-12b-it": ["<bos>", "<start_of_turn>", "user", "\n"],
}
CLOSING = {
    "qwen2-7b-vl-instruct": ["<|im_end|>", "\n", "<|im_start|>", "assistant", "\n"],
    "pixtral-12b": ["[/INST]"],
    "gemma-3-12b-it": ["<end_of_turn>", "\n", "<start_of_turn>", "model", "\n"],
}
SIDES = {81: (9, 9), 36: (6, 6), 271: (16, 16), 114: (5, 22)}
"""Positions of a picture → its rows and columns; Pixtral's hold a break between two rows."""


def pictured(model: str, width: int) -> tuple[list[str], list[str], list[str]]:
    """What the model's processor puts before a picture, for it, and behind it; the picture's own token is <image>."""
    if model == "gemma-3-12b-it":
        return ["<start_of_image>"], ["<image>"] * 256, ["<end_of_image>"]
    rows, columns = SIDES[width]
    if model == "pixtral-12b":
        return [], [*(["<image>"] * columns + ["[IMG_BREAK]"]) * rows][:-1], ["[IMG_END]"]
    return ["<|vision_start|>"], ["<image>"] * rows * columns, ["<|vision_end|>"]


def words(count: int) -> list[str]:
    """Tokens of running text, each with the space before it."""
    return [" word"] * count


def text_prompt(model: str, task: str) -> tuple[list[tuple[int, int]], tuple[int, int]]:
    """Characters of each token, and those of the data, which begin behind the space of its first token."""
    real = REAL[model][task]
    start, stop = real["text_data_range"]
    before = [*OPENING[model], *words(start - len(OPENING[model]))]
    behind = real["l_seq_len"] - stop - len(CLOSING[model])
    tokens = [*before, *words(stop - start), *words(behind), *CLOSING[model]]
    edges = [0, *accumulate(map(len, tokens))]
    return list(pairwise(edges)), (edges[start] + 1, edges[stop])


def image_prompt(model: str, task: str) -> list[str]:
    """Tokens of the prompt of a picture."""
    real = REAL[model][task]
    start, stop = real["image_data_range"]
    mark, picture, end = pictured(model, stop - start)
    prompt = [*OPENING[model], *mark, *picture, *end]
    return [*prompt, *words(real["vl_seq_len"] - len(prompt) - len(CLOSING[model])), *CLOSING[model]]


def held(tokens: list[str]) -> list[int]:
    return [position for position, token in enumerate(tokens) if token == "<image>"]


@pytest.mark.parametrize(("model", "task"), CASES)
def test_text_prompts_of_the_paper_s_models_have_its_lengths_and_data(model: str, task: str) -> None:
    tokens, data = text_prompt(model, task)

    layout = text_layout(tokens, data)

    assert layout == Layout.of(tuple(REAL[model][task]["text_data_range"]), REAL[model][task]["l_seq_len"])


@pytest.mark.parametrize(("model", "task"), CASES)
def test_image_prompts_of_the_paper_s_models_have_its_lengths_and_data(model: str, task: str) -> None:
    start, stop = REAL[model][task]["image_data_range"]
    tokens = image_prompt(model, task)

    layout = image_layout(held(tokens), len(tokens))

    # the reference counts Gemma's start-of-image token as data; it is prefix here: decision 0005
    own = 1 if tokens[start] == "<start_of_image>" else 0
    assert own == (model == "gemma-3-12b-it")
    assert layout == Layout.of((start + own, stop), REAL[model][task]["vl_seq_len"])


@pytest.mark.parametrize(("model", "task"), CASES)
def test_between_these_prompts_query_positions_pair_from_the_right_and_left_overs_go_to_the_first(
    model: str, task: str
) -> None:
    tokens = image_prompt(model, task)
    text, image = text_layout(*text_prompt(model, task)), image_layout(held(tokens), len(tokens))
    linked = position_map(text, image)
    short, long = sorted((text.query, image.query), key=lambda query: query.stop - query.start)
    pairs = linked if short == text.query else linked.T

    common = short.stop - short.start
    assert all(pairs[short.stop - back].nonzero().tolist() == [[long.stop - back]] for back in range(1, common))
    assert pairs[short.start].nonzero().flatten().tolist() == list(range(long.start, long.stop - common + 1))
    assert linked[text.data, image.data].all()
    assert linked[-1].nonzero().tolist() == [[image.length - 1]]
    assert not linked[text.prefix].any() and not linked[:, image.prefix].any()


def test_a_token_that_holds_any_character_of_the_data_is_data_and_empty_tokens_are_not() -> None:
    tokens = [(0, 0), (0, 3), (3, 6), (6, 6), (6, 9), (9, 10), (10, 12)]

    assert text_layout(tokens, (4, 7)) == Layout.of((2, 5), 7)
    assert overlapping(tokens, (4, 7)) == [2, 4]
    assert overlapping(tokens, (3, 6)) == [2]


def test_data_that_no_token_holds_are_refused() -> None:
    with pytest.raises(InputError, match=r"No token of the prompt holds its data \(characters 4 to 5\)"):
        text_layout([(0, 4), (5, 6), (6, 7)], (4, 5))


def test_named_parts_are_spans_and_the_rest_keeps_the_segment_s_name() -> None:
    layout = name_parts(Layout.of((1, 5), 9), {"data.left": [1, 2], "data.right": [2, 3, 7], "query.word": [6]})

    assert layout.labels[1:5] == ["data.left", "data.left", "data.right", "data"]
    assert layout.labels[5:] == ["query", "query.word", "query", "generation"]


def test_a_part_that_shares_all_its_tokens_with_another_is_refused() -> None:
    with pytest.raises(InputError, match="Span 'data.right' has no token of its own: its characters lie in tokens of"):
        name_parts(Layout.of((1, 3), 6), {"data.left": [1, 2], "data.right": [2]})


@pytest.mark.parametrize(
    ("held", "sides", "grid"),
    [
        (range(3, 12), [], (3, 3)),
        (range(8), [(2, 4)], (2, 4)),
        (range(8), [(8, 16)], (2, 4)),  # patches, of which 4 × 4 are a token
        (range(16), [(3, 5), (8, 2)], (8, 2)),  # the first pair is not of this picture
        ([2, 3, 4, 6, 7, 8], [(7, 9)], (2, 3)),  # a break between two rows
    ],
)  # fmt: skip
def test_a_picture_s_grid_follows_from_its_breaks_its_sides_or_else_is_a_square(held, sides, grid) -> None:
    assert picture_grid(list(held), sides) == grid


@pytest.mark.parametrize("held", [range(8), [0, 1, 2, 4, 5], [0, 1, 2, 3, 5, 6, 7, 8, 9]])
def test_a_picture_without_rows_and_columns_has_no_cells(held) -> None:
    with pytest.raises(InputError, match="positions of the picture form no grid of rows and columns"):
        picture_grid(list(held), [(3, 5)])


def test_cells_partition_the_picture_by_rows_and_columns() -> None:
    found = picture_cells(list(range(10, 25)), (3, 5), (2, 2))

    assert found == {
        "data.cell_0_0": [10, 11, 12, 15, 16, 17],
        "data.cell_0_1": [13, 14, 18, 19],
        "data.cell_1_0": [20, 21, 22],
        "data.cell_1_1": [23, 24],
    }


def test_more_cells_than_positions_are_refused() -> None:
    with pytest.raises(InputError, match="has 3 × 5 positions and cannot be cut into 4 × 1 cells"):
        picture_cells(list(range(15)), (3, 5), (4, 1))
