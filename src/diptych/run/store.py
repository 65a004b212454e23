"""The store: results and their units as plain files. A file is complete exactly when it exists."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diptych.errors import DiptychError, StoreError
from diptych.files import is_temporary, sweep, write_text, write_whole
from diptych.result import Result
from diptych.run.identity import Identity, file_name, folder_of

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = 1
"""Version of the folders' layout; hand-bumped."""

RUN, RESULT, GRIDS, UNITS = "run.json", "result.json", "grids.safetensors", "units"

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
            result = Result.from_json(path.read_text(encoding="utf-8"))
        except (DiptychError, OSError, UnicodeDecodeError) as error:
            raise StoreError(f"{path} cannot be read: {error}") from error
        if result.identity["digest"] != _digest_in(self.path):
            raise StoreError(
                f"{path} is the result of run {result.identity['digest']}, not of this folder. Delete the folder and run again."
            )
        return result

    def finish(self, result: Result, grids: "Mapping[str, Tensor]") -> Result:
        """Store grids and result, in this order, and return the result as it will be read."""
        self._begin()
        if grids:
            _write_tensors(self.path / GRIDS, grids)
        write_text(self.path / RESULT, result.to_json() + "\n")
        return self.result()

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
        tensors = _read_tensors(self.path / GRIDS) if names else {}
        if set(tensors) != set(names):
            raise StoreError(
                f"{self.path / GRIDS} does not hold the grids {list(names)} of its result. Delete the folder and run again."
            )
        return tensors

    def has_unit(self, map_name: str, unit_id: str) -> bool:
        """Whether the unit is finished; a damaged file counts as absent, which is logged."""
        from safetensors import SafetensorError, safe_open

        path = self._unit_path(map_name, unit_id)
        if not path.exists():
            return False
        try:
            with safe_open(path, framework="pt"):  # reads the header, which holds the length
                return True
        except (OSError, SafetensorError) as error:
            log.warning("%s is damaged (%s): it is computed again.", path, error)
            return False

    def unit_count(self) -> int:
        """How many units are finished."""
        return sum(not is_temporary(path) for path in (self.path / UNITS).glob("*/*"))

    def unit(self, map_name: str, unit_id: str) -> "dict[str, Tensor]":
        """The values of a finished unit."""
        return _read_tensors(self._unit_path(map_name, unit_id))

    def add_unit(self, map_name: str, unit_id: str, values: "Mapping[str, Tensor]") -> None:
        """Store the values of one unit."""
        self._begin()
        path = self._unit_path(map_name, unit_id)
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_tensors(path, values)

    def _begin(self) -> None:
        """Write `run.json` unless it is there; another process may do so at the same time, with the same text."""
        if self.identity is None or (self.path / RUN).exists():
            return
        run = {"format": FORMAT, "diptych": _version(), "identity": self.identity.to_json()}
        self.path.mkdir(parents=True, exist_ok=True)
        write_text(self.path / RUN, json.dumps(run, sort_keys=True, indent=1) + "\n")

    def _unit_path(self, map_name: str, unit_id: str) -> Path:
        return self.path / UNITS / file_name(map_name) / f"{file_name(unit_id)}.safetensors"


@dataclass(frozen=True)
class Store:
    """A folder of runs: `<model>/<task>/<experiment>-<digest>/`, readable with `ls`."""

    root: Path

    def open(self, identity: Identity) -> Folder:
        """The folder of this identity, made if there is none; raises `StoreError` if a foreign folder has its name."""
        path = self.root / identity.path
        if (path / RUN).exists():
            found = _read_run(path)
            if found != identity.to_json():
                raise StoreError(
                    f"{path} holds another run: {_difference(found, identity.to_json())}. Move the folder away and run again."
                )
        else:
            _refuse_foreign(path)
            self._make(path)
        sweep(path)
        return Folder(path, identity)

    def _make(self, path: Path) -> None:
        """Make the folder before anything is computed for it."""
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"Runs cannot be stored in '{self.root}': {error.strerror}. Expected a folder in which you may write, "
                f"or a path where one can be made."
            ) from error

    def folder(self, result: Result) -> Folder:
        """The folder of a result of this store."""
        names = [str(result.identity[key]) for key in ("model", "task", "experiment", "digest")]
        return Folder(self.root / folder_of(*names))

    def results(self) -> list[Result]:
        """All complete results, by path; raises `StoreError` for a folder that is damaged or of another version."""
        folders = sorted({path.parent for name in (RUN, RESULT) for path in self.root.glob(f"*/*/*/{name}")})
        for folder in folders:
            if not (folder / RUN).exists():
                _refuse_foreign(folder)
            _read_run(folder)
        return [Folder(folder).result() for folder in folders if Folder(folder).complete]


def _read_run(path: Path) -> dict[str, Any]:
    """The identity in a folder's run.json, after checking format and name."""
    file = path / RUN
    try:
        run = json.loads(file.read_text(encoding="utf-8"))
        version, writer, identity = run["format"], run["diptych"], dict(run["identity"])
        digest = identity["digest"]
    except (OSError, ValueError, KeyError, TypeError) as error:
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
    return identity


def _refuse_foreign(path: Path) -> None:
    others = sorted(entry.name for entry in path.iterdir() if not is_temporary(entry)) if path.exists() else []
    if others:
        raise StoreError(f"{path} has no {RUN} but holds {others[:3]}. It was not written by diptych: move it away.")


def _difference(found: dict[str, Any], expected: dict[str, Any]) -> str:
    keys = [key for key in sorted({*found, *expected}) if found.get(key) != expected.get(key)]
    return "; ".join(f"its {key} is {found.get(key)!r}, not {expected.get(key)!r}" for key in keys)


def _digest_in(path: Path) -> str:
    return path.name.rpartition("-")[2]


def _version() -> str:
    try:
        return metadata.version("diptych")
    except metadata.PackageNotFoundError:
        return "(not installed)"


def _write_tensors(path: Path, tensors: "Mapping[str, Tensor]") -> None:
    import torch
    from safetensors.torch import save_file

    # safetensors refuses views and tensors that share memory, so each is copied
    plain = {name: t.detach().cpu().clone(memory_format=torch.contiguous_format) for name, t in tensors.items()}
    write_whole(path, lambda temporary: save_file(plain, temporary))


def _read_tensors(path: Path) -> "dict[str, Tensor]":
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise StoreError(f"{path} cannot be read: {error}. Delete its run's folder and run again.") from error
