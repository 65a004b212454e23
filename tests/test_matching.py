"""Matchers of generated answers, against values worked out by hand."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diptych.errors import InputError
from diptych.items import Item
from diptych.matching import (
    MATCHERS,
    accepted_answers,
    echoed,
    matcher,
    never_matched,
    normalise,
    normalise_vqa,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" Paris. ", "paris"),
        ("the Eiffel Tower", "eiffel tower"),
        ("An  apple,\n a day", "apple day"),
        ("U.S.A.", "usa"),
        ("New-York", "new york"),
        ("Côte d'Ivoire", "côte divoire"),
        ("Côte d\u2019Ivoire", "côte divoire"),
        ("\uff34\uff4f\uff4b\uff59\uff4f", "tokyo"),  # full width
        ("Straße", "strasse"),
        ("e\u0301te\u0301", "été"),
        ("C.\u0327", "ç"),
        ("Two", "2"),
        ("none", "0"),
        ("1,234 people", "1234 people"),
        ("1,2 and 3", "1 2 and 3"),
        ("3.14", "3.14"),
        ("-5", "\u22125"),
        ("\u22125.", "\u22125"),
        ("3-5", "3 5"),
        ("A", "a"),
        ("the", "the"),
        ("?!", "?!"),
        ("  ", ""),
    ],
)
def test_what_does_not_change_an_answer_is_normalised_away(text: str, expected: str) -> None:
    assert normalise(text) == expected


@given(st.text())
def test_normalising_twice_is_normalising_once(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)


@given(st.text(min_size=1).filter(str.strip))
def test_nothing_but_white_space_is_normalised_to_nothing(text: str) -> None:
    assert normalise(text)


@pytest.mark.parametrize(
    ("generated", "accepted", "expected"),
    [
        ("Paris.", ["Paris"], 1),
        (" the city of light", ["Paris", "City of Light"], 1),
        ("Paris is nice", ["Paris"], 0),
        ("-5", ["5"], 0),
        ("two", ["2"], 1),
        ("The", ["A"], 0),
        ("", [""], 0),
        ("...", ["?"], 0),
    ],
)
def test_an_alias_is_matched_once_both_are_normalised(generated: str, accepted: list[str], expected: float) -> None:
    assert matcher()(generated, accepted) == expected


def test_an_exact_match_is_one_to_the_letter() -> None:
    exact = matcher("exact")

    assert exact(" Paris\n", ["Rome", "Paris"]) == 1
    assert exact("paris", ["Paris"]) == exact("Paris.", ["Paris"]) == exact("", [" "]) == 0


@pytest.mark.parametrize("said", range(11))
def test_the_soft_accuracy_of_ten_annotators_is_the_official_one(said: int) -> None:
    by_hand = {0: 0, 1: 0.3, 2: 0.6, 3: 0.9}  # 1: 9 subsets have it at 1/3; 2: 8 at 2/3, 2 at 1/3; 3: 7 at 1, 3 at 2/3

    assert matcher("vqa")("a cat", ["cat"] * said + ["dog"] * (10 - said)) == pytest.approx(by_hand.get(said, 1))


@pytest.mark.parametrize("few", [[], ["cat"], ["cat"] * 3])
def test_too_few_annotators_for_a_right_answer_to_score_1_are_refused(few: list[str]) -> None:
    with pytest.raises(InputError, match=f"answers of {len(few)} annotators; it needs 4 or more.*'alias'"):
        matcher("vqa")("cat", few)


def test_four_annotators_who_agree_are_enough() -> None:
    assert matcher("vqa")("cat", ["cat"] * 4) == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The Dog", "dog"),
        ("dont", "don't"),
        ("couldntve", "couldntve"),  # two apostrophes are missing: not in the official table
        ("couldnt've", "couldn't've"),
        ("girl's", "girl's"),
        ("its", "its"),
        ("yall'd've", "y'all'd've"),
        ("2:50 pm", "2:50 pm"),
        ("yes.", "yes"),
        ("3.5 m.", "3.5 m"),
        ("black/white", "black white"),
        ("black / white", "black white"),
        ("red, white", "red white"),
        ("x-y - z", "xy z"),
        ("100,978", "100978"),
        ("1,000 a-b", "1000 ab"),  # a comma between digits anywhere: all marks go without a space
        ("none\tof\nTHEM", "0 of them"),
        ("$5", "$5"),
    ],
)
def test_the_vqa_normaliser_does_what_the_official_one_does(text: str, expected: str) -> None:
    assert normalise_vqa(text) == expected


@pytest.mark.parametrize(
    ("generated", "accepted", "expected"),
    [
        ("It was Barack Obama, I think.", ["Barack Hussein Obama"], 1),
        ("Michelle Obama", ["Barack Hussein Obama"], 0),
        ("born in KENYA", ["Kenya"], 1),
        ("the Queen of England", ["King of England"], 0),  # two words are long, one is shared
        ("in the USA", ["USA"], 0),
        ("in the USA", ["USA", "United States"], 0),
        ("the United States", ["USA", "United States"], 1),
        ("Obama Obama", ["Barack Obama"], 0),
        ("\uff2b\uff45\uff4e\uff59\uff41", ["Kenya"], 1),
    ],
)
def test_popvqa_counts_shared_long_words(generated: str, accepted: list[str], expected: float) -> None:
    assert matcher("popvqa")(generated, accepted) == expected


@given(st.text(), st.lists(st.text(), max_size=3))
def test_what_popvqa_never_matches_is_what_it_does_not_even_match_with_itself(text: str, more: list[str]) -> None:
    popvqa = matcher("popvqa")

    assert (popvqa(text, [text]) == 0) == (never_matched([text]) == [text])
    assert never_matched([*more, text]) == [answer for answer in [*more, text] if not popvqa(answer, [answer])]


words = st.text(st.characters(categories=["L"], max_codepoint=0x24F), min_size=1, max_size=12)


@pytest.mark.parametrize("name", sorted(MATCHERS))
@given(generated=st.lists(words, max_size=4), others=st.lists(words, min_size=4, max_size=6))
def test_a_matcher_gives_a_share_that_no_order_of_the_answers_changes(
    name: str, generated: list[str], others: list[str]
) -> None:
    match, text = matcher(name), " ".join(generated)

    assert 0 <= match(text, others) <= 1
    assert match(text, others) == pytest.approx(match(text, others[::-1]))


@given(st.text().filter(str.strip), st.lists(st.text(), max_size=3))
def test_an_accepted_answer_is_matched_however_it_is_written(answer: str, more: list[str]) -> None:
    assert matcher("exact")(f" {answer}\n", [*more, answer]) == 1
    assert matcher("alias")(f"  {unicodedata.normalize('NFD', answer)} ", [answer, *more]) == 1


@given(st.lists(st.sampled_from(["cat", "dog"]), min_size=4, max_size=12))
def test_one_more_annotator_in_favour_never_lowers_the_soft_accuracy(said: list[str]) -> None:
    swayed = ["cat", *said[1:]]

    assert matcher("vqa")("cat", swayed) >= matcher("vqa")("cat", said)


def test_an_unknown_matcher_is_refused_with_the_known_ones_and_an_own_one_is_used() -> None:
    with pytest.raises(InputError, match="No matcher named 'fuzzy'. Known: alias, exact, popvqa, vqa."):
        matcher("fuzzy")

    assert matcher(lambda generated, accepted: len(accepted) / 4)("any", ["one"]) == 0.25


def test_the_answer_of_an_item_is_accepted_and_annotators_stay_as_many() -> None:
    item = Item("1", "a cat", None, "What?", "cat", accepted=("kitten",))
    voted = Item("2", "a cat", None, "What?", "cat", accepted=("A cat", *["dog"] * 9))

    assert accepted_answers(item) == ("cat", "kitten")
    assert accepted_answers(voted) == ("A cat", *["dog"] * 9)


@pytest.mark.parametrize(
    ("generated", "accepted", "prompt", "match", "expected"),
    [
        ("Paris", ["Paris"], "Is Paris or Rome the capital?", "alias", True),
        ("Paris", ["Paris"], "What is the capital of France?", "alias", False),
        ("Rome", ["Paris"], "Is Paris or Rome the capital?", "alias", False),  # echoed, but not matched
        ("City of Light", ["Paris", "City of Light"], "Where is Paris?", "alias", False),  # another alias was echoed
        ("New York", ["New York"], "New paintings of York", "alias", False),
        ("new york", ["New York"], "Is it in New-York?", "exact", False),  # not matched at all
        ("cat", ["cat"] * 3 + ["dog"] * 7, "a dog or a cat?", "vqa", True),
        ("cat", ["cat"] * 3 + ["dog"] * 7, "a dog?", "vqa", False),
        ("Barack Obama", ["Barack Hussein Obama"], "Where does Barack Obama live?", "popvqa", True),
        ("Barack Obama", ["Barack Hussein Obama"], "Where does Michelle Obama live?", "popvqa", False),
        ("1", ["one"], "one or two?", "alias", True),
    ],
)
def test_a_match_is_echoed_if_the_prompt_holds_the_matched_answer(
    generated: str, accepted: list[str], prompt: str, match: str, expected: bool
) -> None:
    assert echoed(generated, accepted, prompt, match) is expected
