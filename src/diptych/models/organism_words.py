"""An organism's tokenizer: one token per word, or two pieces per word of the data."""

import math
import re
from collections.abc import Iterable, Sequence

from tokenizers import Regex, Tokenizer, decoders, normalizers
from tokenizers.models import WordPiece
from tokenizers.pre_tokenizers import Whitespace
from transformers import PreTrainedTokenizerFast

from diptych.models.organism_families import Family

SYLLABLES = [consonant + vowel for consonant in "bdfgklmnprstvz" for vowel in "aeiou"]
FIRST = [f"{syllable.capitalize()}h" for syllable in SYLLABLES]  # with an h, no word of the data begins like two pieces
SECOND = [syllable + "h" for syllable in SYLLABLES]


def build_tokenizer(family: Family, texts: Iterable[str], codes: dict[str, tuple[str, str]]) -> PreTrainedTokenizerFast:
    """A tokenizer that knows the words of `texts`; each phrase of `codes` becomes its two pieces.

    Offsets and decoding are those of the phrases themselves.
    """
    joined = {phrase: "".join(codes[phrase]) for phrase in sorted(codes, key=len, reverse=True)}
    swaps = [normalizers.Replace(Regex(rf"\b{re.escape(phrase)}\b"), word) for phrase, word in joined.items()]
    normaliser = normalizers.Sequence([normalizers.NFC(), *swaps])
    texts = map(normaliser.normalize_str, texts)
    words = {word for text in texts for word, _ in Whitespace().pre_tokenize_str(text)} - set(joined.values())
    pieces = sorted({piece for first, second in codes.values() for piece in (first, f"##{second}")})
    known = [*family.special, *pieces, *sorted(words - {*family.special, *pieces})]
    vocabulary = {word: index for index, word in enumerate(known)}
    backend = Tokenizer(WordPiece(vocabulary, unk_token=family.tokens["unk_token"]))
    backend.normalizer = normaliser
    backend.pre_tokenizer = Whitespace()
    back = [decoders.Replace(word, phrase) for phrase, word in joined.items()]
    backend.decoder = decoders.Sequence([decoders.WordPiece(cleanup=False), decoders.Fuse(), *back])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        extra_special_tokens=list(family.other_tokens),
        chat_template=family.template,
        **family.tokens,
    )


def cut(answers: Sequence[str], groups: Iterable[Sequence[str]]) -> dict[str, tuple[str, str]]:
    """Two pieces for each phrase, from a small alphabet of first and of second pieces.

    The phrases of a group of n share √n first and √n second pieces, so that neither alone says which phrase it is;
    answers have first pieces of their own.
    """
    codes = {answer: (FIRST[index], SECOND[index % 2]) for index, answer in enumerate(answers)}
    offset = len(answers)
    for group in groups:
        side = math.ceil(math.sqrt(len(group)))
        for index, phrase in enumerate(group):
            codes[phrase] = (FIRST[offset + index // side], SECOND[offset + index % side])
        offset += side
    return codes
