"""The folder of a run: its units while it runs and its result at the end, as plain files that are whole or absent."""

import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diptych.errors import Damaged, StoreError
from diptych.files import HOST, write_text
from diptych.result import Result
from diptych.run.identity import Identity, digest_of, file_name
from diptych.run.sealed import read_bounded, seal, unseal
from diptych.run.tensors import read_tensors, write_tensors

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = 1
"""Version of the folders' layout; hand-bumped."""

RUN, RESULT, GRIDS, UNITS, LOG = "run.json", "result.json", "grids.safetensors", "units", "run.log"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Folder:
    """The folder of one identity: `run.json` with the first unit, units while it runs, `result.json` last."""

    path: Path
    identity: Identity | None = None
    """Of the run that may write here; None to read."""

    @property
    def complete(self) -> bool:
        return (self.path / RESULT).exists()

    def result(self) -> Result:
        """The stored result; raises `StoreError` if it is damaged or of another run."""
        path = self.path / RESULT
        if not self.complete:
            raise StoreError(f"No finished result in '{self.path}'. Expected a folder that `diptych run` printed.")
        try:
            result = Result.from_json(unseal(path))
        except (StoreError, OSError) as error:
            raise (Damaged if isinstance(error, Damaged) else StoreError)(f"{path} cannot be read: {error}") from error
        if result.identity["digest"] != _digest_in(self.path):
            raise StoreError(
                f"{path} is the result of run {result.identity['digest']}, not of this folder. Delete the folder and run again."
            )
        return result

    def stored(self) -> Result | None:
        """The stored result, if it is there and whole; of a damaged one it is logged that it counts as absent."""
        if not self.complete:
            return None
        try:
            return self.result()
        except Damaged as error:
            log.warning("%s It is computed again.", error)
            self.note(str(error))
            return None

    def finish(self, result: Result, grids: "Mapping[str, Tensor]") -> Result:
        """Store grids and result, in this order, and return the result as it will be read."""
        with storing(self.path):
            self._begin()
            if grids:
                write_tensors(self.path / GRIDS, grids)
            write_text(self.path / RESULT, seal(result.to_json()))
        return self.result()

    def reopen(self, reason: str) -> None:
        """Forget the result, whose grids are damaged; units stay."""
        log.warning("%s The result is computed again.", reason)
        self.note(reason)
        with storing(self.path):
            (self.path / RESULT).unlink(missing_ok=True)

    def note(self, text: str) -> None:
        """A line with the time in the run's log, once something is stored; a log that cannot be written stops nothing."""
        if (self.path / RUN).exists():
            stamp = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} {HOST} {os.getpid()}"
            with suppress(OSError), (self.path / LOG).open("a", encoding="utf-8") as file:
                file.write(f"{stamp} {' '.join(text.split())}\n")

    def abandon(self) -> None:
        """Remove the folder, and those above it, that hold nothing: an experiment that refuses leaves no trace."""
        for folder in (self.path, *self.path.parents[:2]):  # of the identity, the task and the model
            try:
                folder.rmdir()
            except OSError:
                return  # holds something

    def grids(self) -> "dict[str, Tensor]":
        """The tensors stored beside the result; empty if it has none."""
        names = self.result().grids
        tensors = read_tensors(self.path / GRIDS) if names else {}
        if set(tensors) != set(names):
            raise Damaged(
                f"{self.path / GRIDS} does not hold the grids {list(names)} of its result. Give its run's command again."
            )
        return tensors

    def has_unit(self, map_name: str, unit_id: str) -> bool:
        """Whether the unit is finished and whole; a damaged file counts as absent, which is logged."""
        path = self._unit_path(map_name, unit_id)
        if not path.exists():
            return False
        try:
            read_tensors(path)
        except Damaged as error:
            log.warning("%s is damaged (%s): it is computed again.", path, error)
            self.note(str(error))
            return False
        return True

    def unit_count(self) -> int:
        """How many units are finished."""
        return len(list((self.path / UNITS).glob("*/*.safetensors")))

    def unit(self, map_name: str, unit_id: str) -> "dict[str, Tensor]":
        """The values of a finished unit."""
        return read_tensors(self._unit_path(map_name, unit_id))

    def add_unit(self, map_name: str, unit_id: str, values: "Mapping[str, Tensor]") -> None:
        """Store the values of one unit; raises `StoreError` if they cannot be written."""
        path = self._unit_path(map_name, unit_id)
        with storing(path):
            self._begin()
            path.parent.mkdir(parents=True, exist_ok=True)
            write_tensors(path, values)

    def _begin(self) -> None:
        """Write `run.json` unless it is there; another process may do so at the same time, with the same text."""
        if self.identity is None or (self.path / RUN).exists():
            return
        run = {"format": FORMAT, "diptych": _version(), "identity": self.identity.to_json()}
        self.path.mkdir(parents=True, exist_ok=True)
        write_text(self.path / RUN, json.dumps(run, sort_keys=True, indent=1) + "\n")

    def _unit_path(self, map_name: str, unit_id: str) -> Path:
        return self.path / UNITS / file_name(map_name) / f"{file_name(unit_id)}.safetensors"


def read_run(path: Path) -> dict[str, Any]:
    """The identity in a folder's run.json, after checking format and name."""
    file = path / RUN
    try:
        run = json.loads(read_bounded(file))
        version, writer, identity = run["format"], run["diptych"], dict(run["identity"])
        digest, expected = identity["digest"], digest_of({k: v for k, v in identity.items() if k != "digest"})
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise StoreError(
            f"{file} is damaged: {type(error).__name__}: {error}. Delete the folder and run again."
        ) from error
    if version != FORMAT:
        raise StoreError(
            f"{path} was written by diptych {writer} in store format {version}; this is diptych {_version()}, which reads "
            f"format {FORMAT}. Use that version, or another runs folder."
        )
    if digest != _digest_in(path):
        raise StoreError(
            f"{file} is of run {digest}, but its folder is named {path.name}. Rename or delete the folder."
        )
    if digest != expected:
        raise StoreError(
            f"{file} is damaged: it is of run {digest}, but tells what run {expected} is of. "
            f"Delete the folder and run again."
        )
    return identity


def _digest_in(path: Path) -> str:
    return path.name.rpartition("-")[2]


def _version() -> str:
    try:
        return metadata.version("diptych")
    except metadata.PackageNotFoundError:
        return "(not installed)"


@contextmanager
def storing(path: Path) -> Iterator[None]:
    """While open, errors of writing are ours."""
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"{path} cannot be written: {error.strerror or error}. Make room, or let yourself write there, and give the "
            f"same command again: what is finished is kept."
        ) from error
