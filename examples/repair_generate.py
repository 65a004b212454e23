"""Repair: a back-patch on a Hugging Face model as it is, so that its own `generate` writes other answers about pictures.

`python examples/repair_generate.py` uses a small model that comes with diptych; for another one, choose a cell first:

    diptych repair MODEL --task counting --out patch      # writes patch/backpatch.json
    python examples/repair_generate.py MODEL patch
"""

import sys
from typing import Any

import diptych
from diptych import BackPatch


def questions(vlm: diptych.VLM, count: int) -> tuple[dict[str, Any], list[str]]:
    """A batch of pictures and questions as the model's processor makes it, padded on the left; and the right answers."""
    items = diptych.make_task("counting", per_split=24).split("test")[::3][:count]
    turns = [[{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": item.query}]}] for item in items]
    prompts = [vlm.processor.apply_chat_template(turn, add_generation_prompt=True) for turn in turns]
    pictures = [[item.pictures[0].open()] for item in items]
    inputs = vlm.processor(
        text=prompts, images=pictures, return_tensors="pt", padding=True, add_special_tokens=False, padding_side="left"
    )
    return {name: vlm.place(value) for name, value in inputs.items()}, [item.answer for item in items]


def main(name: str = "organism/gemma3", folder: str | None = None) -> None:
    """Generate twice, plain and patched, and print both beside the right answers."""
    vlm = diptych.load(name)
    model = vlm.model  # the Hugging Face model, nothing changed
    patch = BackPatch.from_pretrained(folder) if folder else BackPatch(src=3, dst=1, window=3)
    inputs, answers = questions(vlm, 8)

    plain = model.generate(**inputs, max_new_tokens=4, do_sample=False)
    with patch.apply(model):
        patched = model.generate(**inputs, max_new_tokens=4, do_sample=False)

    length = inputs["input_ids"].shape[1]
    for answer, *written in zip(answers, plain[:, length:], patched[:, length:], strict=True):
        before, after = (vlm.processor.tokenizer.decode(tokens, skip_special_tokens=True).strip() for tokens in written)
        print(f"right: {answer:3} plain: {before:8} patched: {after}")


if __name__ == "__main__":
    main(*sys.argv[1:])
