"""The vocabulary of random models: marks of a chat, a few words, and numbers."""

from typing import Any

from tokenizers import Tokenizer, models, pre_tokenizers

MARKS = (
    "<pad>",
    "<s>",
    "</s>",
    "<unk>",
    "<image>",
    "<image_start>",
    "<image_end>",
    "<image_break>",
    "<video>",
    "<audio>",
)
SHAPES = ("circle", "heart", "moon", "square", "star", "triangle")
ASKING = (
    "What",
    "How",
    "many",
    "is",
    "are",
    "in",
    "the",
    "picture?",
    "there?",
    "result?",
    "Answer",
    "with",
    "a",
    "number.",
)
WORDS = ("user", "assistant", *ASKING, "+", "-", *SHAPES, *(f"{shape}s" for shape in SHAPES))
VOCABULARY = (*MARKS, *WORDS, *map(str, range(100)))
TOKENS = {word: index for index, word in enumerate(VOCABULARY)}


def tokenizer() -> Any:
    """Whole words of a small vocabulary, and a chat template with the picture first."""
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel(TOKENS, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    found = PreTrainedTokenizerFast(
        tokenizer_object=words,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        pad_token="<pad>",
        additional_special_tokens=list(MARKS[4:]),
        model_max_length=512,
    )
    found.chat_template = (
        "<s> user {% for part in messages[0]['content'] %}{% if part['type'] == 'image' %}"
        "<image_start><image><image_end>{% else %}{{ part['text'] }}{% endif %}{% endfor %} assistant "
    )
    return found
