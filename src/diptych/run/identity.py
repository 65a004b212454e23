"""Identity of a result: everything that its numbers depend on, as 12 hex digits and as a readable path."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Identity:
    """One experiment with its parameters, on one model and one task.

    `version` is the experiment's, `uses` the versions of the experiments it builds on, `code` the digest of a user's
    own file. `revision` is the model's commit or the digest of its files; `loaded` how it is loaded besides its dtype.
    """

    experiment: str
    version: int
    uses: Mapping[str, int]
    code: str
    parameters: Mapping[str, Any]
    model: str
    revision: str
    dtype: str
    loaded: Mapping[str, Any]
    task: str
    task_digest: str

    @cached_property
    def digest(self) -> str:
        """12 hex digits of the canonical JSON of all fields."""
        return digest_of(asdict(self))

    @property
    def path(self) -> Path:
        """`<model>/<task>/<experiment>-<digest>`."""
        return folder_of(self.model, self.task, self.experiment, self.digest)

    def to_json(self) -> dict[str, Any]:
        """All fields and the digest."""
        return {**asdict(self), "digest": self.digest}


def canonical(value: Any) -> str:
    """JSON that is the same text for the same value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest_of(fields: Mapping[str, Any]) -> str:
    """12 hex digits of the fields of an identity."""
    return hashlib.sha256(canonical(fields).encode()).hexdigest()[:12]


def folder_of(model: str, task: str, experiment: str, digest: str) -> Path:
    """The folder of a result, relative to the store."""
    return Path(file_name(model), file_name(task), f"{file_name(experiment)}-{file_name(digest)}")


def file_name(text: str) -> str:
    """A name that any file system takes, different for different texts.

    Lower-case letters, digits, `.`, `_` and `-` stay; any other text gets its digest after a `~`, which no unchanged name
    holds. Upper case counts as other: macOS does not tell `A` from `a`.
    """
    if re.fullmatch(r"[a-z0-9_][a-z0-9._-]{0,79}", text):
        return text
    readable = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.")[-60:]
    return f"{readable}~{hashlib.sha256(text.encode()).hexdigest()[:12]}"
