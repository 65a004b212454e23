"""Chat: one user turn through the model's own template, and where an item's data lies in the text that it writes."""

import re
from typing import Any

from jinja2 import TemplateError

from diptych.errors import InputError

Content = list[dict[str, str]]


def render(processor: Any, name: str, content: Content, system: str | None = None) -> str:
    """One user turn with these parts, generation prompt added; `system` in place of the template's own system prompt.

    Raises `InputError` if there is no template, or if it refuses or drops the system prompt.
    """
    template = processor if getattr(processor, "chat_template", None) else processor.tokenizer
    if not getattr(template, "chat_template", None):
        raise InputError(
            f"{name} has no chat template. Set `tokenizer.chat_template`, or use the model's instruction-tuned version."
        )
    user = {"role": "user", "content": content}
    if system is None:
        return _apply(template, name, [user])
    for form in ([{"type": "text", "text": system}], system):  # templates take one or the other
        rendered = _apply(template, name, [{"role": "system", "content": form}, user])
        if system.strip() in rendered and "'type'" not in rendered and all(_kept(part, rendered) for part in content):
            return rendered
    raise InputError(
        f"The chat template of {name} takes no system prompt: '{system}' is not in what it writes. Leave `system` out, or "
        f"write it into the items' queries."
    )


def locate(rendered: str, content: str) -> list[int] | None:
    """Where each character of a turn's text is in what the template wrote, and where its end is; None if it is not there.

    White space counts as equal to any other, since templates trim it and some merge it; it is placed at the end of the
    word before. The last occurrence is taken: a system prompt may hold the same words.
    """
    found = list(re.finditer(_words(content), rendered))
    if not found:
        return None
    cursor = found[-1].start()
    places = [cursor] * (len(content) + 1)
    for word in re.finditer(r"\S+", content):
        begin = rendered.index(word.group(), cursor)
        cursor = begin + len(word.group())
        places[word.start() : word.end()] = range(begin, cursor)
        places[word.end() :] = [cursor] * (len(content) + 1 - word.end())
    return places


def require_plain(processor: Any, name: str, where: str, text: str) -> None:
    """Raise `InputError` if a text holds a special token: the model would take it for a mark of the chat or a picture."""
    tokenizer = processor.tokenizer
    special = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
    held = sorted(token for token in special if token in text)
    if held:
        raise InputError(
            f"The {where} holds '{held[0]}', which is a special token of {name}: the model would not read it as text, but "
            f"as a mark or as a picture that is not there. Remove it."
        )


def _apply(template: Any, name: str, turns: list[dict[str, Any]]) -> str:
    try:
        rendered: str = template.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    except TemplateError as error:
        raise InputError(
            f"The chat template of {name} refuses the turn: {error}. Leave `system` out, or give the tokenizer a template "
            f"that takes one."
        ) from error
    return rendered


def _kept(part: dict[str, str], rendered: str) -> bool:
    return "text" not in part or re.search(_words(part["text"]), rendered) is not None


def _words(text: str) -> str:
    """The words of a text as a pattern, any white space between."""
    return r"\s+".join(map(re.escape, text.split()))
