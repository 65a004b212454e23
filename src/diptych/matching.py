"""Matchers: how right a generated answer is, between 0 and 1 (methods §11). No torch here."""

import re
import unicodedata
from collections.abc import Callable, Sequence

from diptych.errors import InputError
from diptych.items import Item

Matcher = Callable[[str, Sequence[str]], float]
"""The newly generated text (without its prompt) and the accepted answers → how right it is, between 0 and 1."""

ARTICLES = ("a", "an", "the")
NUMBER_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
NUMBERS = {word: str(number) for number, word in enumerate(NUMBER_WORDS)} | {"none": "0"}
"""Number words of the VQA evaluation, which counts "none" among them."""

FEWEST_ANNOTATORS = 4
"""With fewer, an answer that all annotators gave would score less than 1: one of them is left out, three must agree."""

VQA_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
_FORMS = """ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't
he'd he'd've he's how'd how'll how's isn't it'd it'd've it'll ma'am mightn't mightn't've might've mustn't must've needn't
not've o'clock oughtn't 'ow's'at shan't she'd've should've shouldn't shouldn't've somebody'd've somebody'll somebody's
someone'd someone'd've someone'll someone's something'd something'd've something'll that's there'd there'd've there're
there's they'd they'd've they'll they're they've 'twas wasn't we'd've we've weren't what'll what're what's what've when's
where'd where's where've who'd who'd've who'll who's who've why'll why're why's won't would've wouldn't wouldn't've y'all
y'all'll y'all'd've you'd you'd've you'll you're you've"""
VQA_CONTRACTIONS = {
    form[:place] + form[place + 1 :]: form
    for form in _FORMS.split()
    for place, character in enumerate(form)
    if character == "'"
} | {"somebody'd": "somebodyd"}
"""A contraction that misses one of its apostrophes → the contraction; the last entry is a slip of the official table."""


def exact(generated: str, accepted: Sequence[str]) -> float:
    """1 if the generated text is an accepted answer, to the letter; white space around either does not count."""
    return float(generated.strip() != "" and generated.strip() in [answer.strip() for answer in accepted])


def alias(generated: str, accepted: Sequence[str]) -> float:
    """1 if the generated text is an accepted answer once both are normalised (see `normalise`)."""
    found = normalise(generated)
    return float(found != "" and found in map(normalise, accepted))


def vqa(generated: str, accepted: Sequence[str]) -> float:
    """Soft accuracy of VQAv2: min(1, annotators who said so / 3), averaged over leaving one annotator out.

    `accepted` holds one answer per annotator, repeats included: ten in VQAv2. Normalised on both sides as the official
    evaluation does the generated text; of the annotators' answers it mends only punctuation, so that "the dog" by all
    ten could never be matched. Raises `InputError` for fewer than four. Source: Antol et al. 1505.00468, §3, and
    vqaEval.py of GT-Vision-Lab/VQA.
    """
    if len(accepted) < FEWEST_ANNOTATORS:
        raise InputError(
            f"Matcher 'vqa' got the answers of {len(accepted)} annotators; it needs {FEWEST_ANNOTATORS} or more, repeats "
            f"included (VQAv2 has ten). Use the matcher 'alias' for lists of accepted answers."
        )
    agreed = [normalise_vqa(answer) == normalise_vqa(generated) for answer in accepted]
    return sum(min(1.0, (sum(agreed) - left_out) / 3) for left_out in agreed) / len(accepted)


def popvqa(generated: str, accepted: Sequence[str]) -> float:
    """1 if two long words of an accepted answer are in the generated text, or its only long word is.

    Long: four characters or more, after NFKC and in lower case. Known quirks: an answer of short words alone is never
    matched (`never_matched` lists them), and long answers are matched leniently. Source: Cohen et al. 2412.14133.
    """
    found = _long_words(generated)
    wanted = [_long_words(answer) for answer in accepted]
    return float(any(words and len(words & found) >= min(2, len(words)) for words in wanted))


MATCHERS: dict[str, Matcher] = {"alias": alias, "exact": exact, "popvqa": popvqa, "vqa": vqa}


def matcher(name: str | Matcher = "alias") -> Matcher:
    """The matcher of that name, or the given function itself. Raises `InputError` for an unknown name."""
    if not isinstance(name, str):
        return name
    if name not in MATCHERS:
        raise InputError(f"No matcher named '{name}'. Known: {', '.join(MATCHERS)}.")
    return MATCHERS[name]


def accepted_answers(item: Item) -> tuple[str, ...]:
    """What counts as right when an item's answer is generated: its answer and `accepted`, whose repeats are kept.

    The answer is not added to a list that holds it already: ten annotators stay ten.
    """
    held = normalise(item.answer) in map(normalise, item.accepted)
    return item.accepted if held else (item.answer, *item.accepted)


def never_matched(accepted: Sequence[str]) -> list[str]:
    """Answers that `popvqa` never matches, whatever is generated: all their words are short."""
    return [answer for answer in accepted if not _long_words(answer)]


def echoed(generated: str, accepted: Sequence[str], prompt: str, match: str | Matcher = "alias") -> bool:
    """Whether the match is owed to answers that stand in the prompt already, so that repeating it may have been enough.

    An answer stands in the prompt if its normalised words do, in a row, or if the prompt itself would be matched as it.
    """
    match = matcher(match)
    told = [_stands_in(answer, prompt) or match(prompt, [answer] * len(accepted)) > 0 for answer in accepted]
    untold = ["" if known else answer for answer, known in zip(accepted, told, strict=True)]
    return match(generated, accepted) > match(generated, untold)


def normalise(text: str) -> str:
    """Text without what does not change an answer: width and case of letters, punctuation, articles, number words.

    NFKC; commas within numbers, apostrophes and full stops are dropped (decimal points and minus signs stay), other
    punctuation parts words. What would leave nothing is not done: "A" stays "a", "?" stays "?".
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    words = _without_punctuation(folded).split() or folded.split()
    kept = [word for word in words if word not in ARTICLES] or words
    return " ".join(NUMBERS.get(word, word) for word in kept)


def normalise_vqa(text: str) -> str:
    """Text as the official VQA evaluation compares it (processPunctuation and processDigitArticle of vqaEval.py)."""
    text = text.replace("\n", " ").replace("\t", " ").strip()
    bare = text
    for mark in VQA_PUNCTUATION:
        beside_space = f"{mark} " in text or f" {mark}" in text
        bare = bare.replace(mark, "" if beside_space or re.search(r"\d,\d", text) else " ")
    words = [NUMBERS.get(word, word) for word in re.sub(r"\.(?!\d)", "", bare).lower().split()]
    return " ".join(VQA_CONTRACTIONS.get(word, word) for word in words if word not in ARTICLES)


def _without_punctuation(text: str) -> str:
    signed = re.sub(r"(?<!\w)[-\u2212](?=\.?\d)", "\u2212", text)  # the sign of a number is no punctuation: category Sm
    joined = re.sub(r"(?<=\d),(?=\d{3}(?!\d))|['\u2019]|\.(?!\d)", "", signed)
    parted = "".join(" " if unicodedata.category(c)[0] == "P" and c != "." else c for c in joined)
    return unicodedata.normalize("NFKC", parted)  # an accent may now follow its letter


def _long_words(text: str) -> set[str]:
    return set(re.findall(r"\w{4,}", unicodedata.normalize("NFKC", text).lower()))


def _stands_in(answer: str, prompt: str) -> bool:
    words = normalise(answer)
    return words != "" and f" {words} " in f" {normalise(prompt)} "
