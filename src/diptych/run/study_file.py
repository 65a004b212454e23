"""Study files: YAML that holds data and nothing else, read with changes from the command line and written resolved."""

import json
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from diptych.errors import InputError
from diptych.files import write_text
from diptych.run.folder import storing
from diptych.run.identity import file_name
from diptych.run.study import Study, named, several

LARGEST = 2**20
"""Bytes of a study file."""


class _Plain(yaml.SafeLoader):  # type: ignore[misc]
    """Reads what JSON can say: no tags, no dates, no key twice, and no aliases, which make a short file endless."""

    yaml_implicit_resolvers = {  # noqa: RUF012 as PyYAML has it
        first: [(tag, form) for tag, form in forms if not tag.endswith(":timestamp")]
        for first, forms in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent):
            raise yaml.constructor.ConstructorError(None, None, "an alias: write it out", event.start_mark)
        if event.tag is not None:
            raise yaml.constructor.ConstructorError(None, None, f"a tag, '{event.tag}': leave it out", event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = sorted({str(key) for key in keys if keys.count(key) > 1})
        if twice:
            raise yaml.constructor.ConstructorError(None, None, f"key '{twice[0]}' is there twice", node.start_mark)
        return super().construct_mapping(node, deep)


def read_study(path: Path, changes: Mapping[str, Any] | None = None) -> Study:
    """The study in a file; `changes` go from a place such as `models.0.dtype` to the value that it is given.

    Raises `InputError` for a file that is no YAML or holds anything but a study. Paths in it start in the working folder.
    """
    plain = _read(path)
    for place, value in (changes or {}).items():
        _change(plain, place, value)
    return Study(**{"name": path.stem, **plain})


def write_study(study: Study, folder: Path, results: list[str]) -> Path:
    """Write the study with all its defaults beside its results, whose places are listed as comments.

    Raises `StoreError` if it cannot be written.
    """
    path = folder / f"{file_name(study.name)}-{study.digest()}.yaml"
    text = yaml.safe_dump(study.to_json(), sort_keys=False, allow_unicode=True)
    with storing(path):
        folder.mkdir(parents=True, exist_ok=True)
        write_text(path, text + "".join(f"# {' '.join(result.split())}\n" for result in ["results:", *results]))
    return path


def _read(path: Path) -> dict[Any, Any]:
    try:
        if path.stat().st_size > LARGEST:
            raise InputError(f"'{path}' has more than {LARGEST} bytes. Expected a study file; is it another file?")
        plain = yaml.load(path.read_text(encoding="utf-8"), _Plain)  # a SafeLoader
        json.dumps(plain, ensure_ascii=False).encode()  # halves of characters, which nothing can write
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:  # of decoding, and numbers without end
        told = error.strerror if isinstance(error, OSError) else None
        reason = " ".join((told or str(error)).split())
        raise InputError(f"'{path}' is no study file: {reason}. Expected YAML as in docs/guide/studies.md.") from error
    if not isinstance(plain, dict) or not all(isinstance(key, str) for key in plain):
        held = "nothing" if plain is None else type(plain).__name__
        raise InputError(
            f"'{path}' holds {held}; expected keys with values: models, tasks and experiments. See docs/guide/studies.md."
        )
    return plain


def _change(plain: dict[Any, Any], place: str, value: Any) -> None:
    """Set one value; on the way, what stands for several or for a name with options is written out."""
    steps = place.split(".")
    holder: Any = plain
    for step, following in pairwise(steps):
        key = _key(holder, step, place)
        inner = holder[key] if isinstance(holder, list) else holder.setdefault(key, {})
        holder[key] = several(inner) if following.isdecimal() else named(inner)
        holder = holder[key]
    holder[_key(holder, steps[-1], place)] = value


def _key(holder: Any, step: str, place: str) -> Any:
    if isinstance(holder, dict):
        return step
    if isinstance(holder, list) and step.isdecimal() and int(step) < len(holder):
        return int(step)
    known = f"0 to {len(holder) - 1}" if isinstance(holder, list) else "none, it holds one value"
    raise InputError(f"The study has no place '{place}': '{step}' is not there. Known at this place: {known}.")
