"""Listing: what a folder of runs holds, what of it is stale, and what may be deleted."""

import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from diptych.errors import DiptychError, StoreError
from diptych.files import is_temporary, sweep
from diptych.registry import names
from diptych.result import Result
from diptych.run.experiment import Experiment
from diptych.run.folder import GRIDS, LOG, RESULT, RUN, UNITS, Folder, read_run
from diptych.run.store import Store

log = logging.getLogger(__name__)

OWN = {RUN, RESULT, GRIDS, LOG}


@dataclass(frozen=True)
class Listed:
    """One run on disk; `stale` says why this diptych would not answer with it, `refused` why it cannot be read."""

    folder: Folder
    identity: Mapping[str, Any]
    stale: str = ""
    refused: str = ""

    @property
    def state(self) -> str:
        """In a word or two."""
        if self.refused:
            return "refused"
        done = "complete" if self.folder.complete else f"{self.folder.unit_count()} units"
        return f"stale, {done}" if self.stale else done

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return sum(path.lstat().st_size for path in _files(self.folder.path))


def listed(store: Store) -> list[Listed]:
    """All runs of a store, by path."""
    return [_listed(folder) for folder in store.folders()]


def current(store: Store) -> list[Result]:
    """The finished results of a store that this diptych would answer with, by path; stale ones are left out and logged.

    Raises `StoreError` for a run that cannot be read.
    """
    found = []
    for result in store.results():
        if reason := stale(result.identity):
            log.warning("%s is stale and counts as absent: %s.", store.folder(result).path, reason)
        else:
            found.append(result)
    return found


def days(store: Store, results: Iterable[Result]) -> list[str]:
    """The days (UTC) on which the results were finished, as their logs say, in order; a log may be missing."""
    logs = (store.folder(result).path / LOG for result in results)
    return sorted({day for path in logs if path.is_file() for day in _finished(path)[-1:]})


def prune(root: Path, run: Listed) -> bool:
    """Delete what diptych wrote of a run, and folders that are then empty; whether nothing is left of it.

    Raises `StoreError` for a run behind a link, and for one that a driver is writing just now.
    """
    path = run.folder.path
    links = [part for part in (path, *path.parents) if part != root and root in part.parents and part.is_symlink()]
    if links:
        raise StoreError(f"'{links[0]}' is a link; nothing behind it is deleted. Prune the store that it points to.")
    sweep(path)
    if any(is_temporary(inner) for inner in _files(path)):
        raise StoreError(f"'{path}' is being written by another process. Wait until it is done, or end it.")
    for inner in [*(path / name for name in OWN), *_units(path)]:
        inner.unlink(missing_ok=True)
    for folder in [*_unit_folders(path), path / UNITS, path, *path.parents[:2]]:
        try:
            folder.rmdir()
        except OSError:
            continue  # holds what is not ours, or other runs
    return not path.exists()


def stale(identity: Mapping[str, Any]) -> str:
    """Why today's code names the result of this experiment otherwise; nothing if it does not, or if it is a user's."""
    if identity["code"]:
        return ""
    name = str(identity["experiment"])
    if name not in _shipped():
        return f"there is no experiment '{name}' any more"
    experiment = _shipped()[name]
    if identity["version"] != experiment.version:
        return f"'{name}' was of version {identity['version']} and is of version {experiment.version}"
    if identity["uses"] != experiment.versions():
        return f"'{name}' used {identity['uses']} and uses {experiment.versions()}"
    if set(identity["parameters"]) != set(experiment.parameters()):
        return f"'{name}' had the parameters {sorted(identity['parameters'])}"
    return ""


def _finished(path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8", errors="replace")
    return re.findall(r"^(\d{4}-\d\d-\d\d) \S+ \S+ \d+ finished: ", text, re.MULTILINE)


def _listed(folder: Folder) -> Listed:
    try:
        identity = read_run(folder.path)
        return Listed(folder, identity, stale(identity))
    except (DiptychError, KeyError) as error:
        return Listed(folder, {}, refused=str(error))


@cache
def _shipped() -> dict[str, Experiment]:
    return {name: Experiment.find(name) for name in names("experiment")}


def _unit_folders(path: Path) -> list[Path]:
    units = path / UNITS
    if units.is_symlink() or not units.is_dir():
        return []
    return [folder for folder in units.iterdir() if folder.is_dir() and not folder.is_symlink()]


def _units(path: Path) -> Iterator[Path]:
    for folder in _unit_folders(path):
        yield from folder.glob("*.safetensors")


def _files(path: Path) -> Iterator[Path]:
    for base, folders, files in os.walk(path):
        yield from (Path(base, name) for name in files)
        yield from (Path(base, name) for name in folders if is_temporary(Path(name)))
