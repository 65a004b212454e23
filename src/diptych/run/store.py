"""The store: a folder of runs as plain files. A file is complete exactly when it exists."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diptych.errors import StoreError
from diptych.files import is_temporary, sweep
from diptych.result import Result
from diptych.run.folder import RESULT, RUN, Folder, read_run
from diptych.run.identity import Identity, folder_of

QUESTION = ("experiment", "parameters", "model", "dtype", "loaded", "task")
"""The fields of an identity that a user asks with; the others tell versions."""


@dataclass(frozen=True)
class Store:
    """A folder of runs: `<model>/<task>/<experiment>-<digest>/`, readable with `ls`."""

    root: Path
    """Text is a path too."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", Path(self.root))

    def open(self, identity: Identity) -> Folder:
        """The folder of this identity, made if there is none; raises `StoreError` if what lies there is damaged or foreign."""
        path = self.root / identity.path
        if (path / RUN).exists():
            read_run(path)  # whose digest, and so all that it is of, is that of the folder's name
        else:
            _refuse_foreign(path)
            self._make(path)
        sweep(path)
        return Folder(path, identity)

    def superseded(self, identity: Identity) -> list[str]:
        """Results of the same question, of another version of an experiment, model or task: they count as absent."""
        asked, found = identity.to_json(), []
        for path in _folders_in((self.root / identity.path).parent):
            try:
                other = read_run(path)
            except StoreError:
                continue
            if all(other.get(key) == asked[key] for key in QUESTION) and (path / RESULT).exists():
                found.append(f"{path} is stale and counts as absent: {_difference(other, asked)}.")
        return found

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
        for folder in self.folders():
            if not (folder.path / RUN).exists():
                _refuse_foreign(folder.path)
            read_run(folder.path)
        return [folder.result() for folder in self.folders() if folder.complete]

    def folders(self) -> list[Folder]:
        """What looks like a run's folder, by path."""
        found = [self.root]
        for _ in range(3):
            found = [inner for folder in found for inner in _folders_in(folder)]
        return [Folder(path) for path in found if {RUN, RESULT} & {entry.name for entry in _entries(path)}]


def _folders_in(folder: Path) -> list[Path]:
    return [path for path in _entries(folder) if path.is_dir() and not path.name.startswith(".")]


def _entries(folder: Path) -> list[Path]:
    """What is in a folder, by name; nothing if it was never made or if another driver has just removed it."""
    try:
        return sorted(folder.iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StoreError(
            f"'{folder}' cannot be read: {error.strerror}. Expected a folder of runs that you may read."
        ) from error


def _refuse_foreign(path: Path) -> None:
    others = [entry.name for entry in _entries(path) if not is_temporary(entry)] if path.exists() else []
    if others:
        raise StoreError(f"{path} has no {RUN} but holds {others[:3]}. It was not written by diptych: move it away.")


def _difference(found: dict[str, Any], expected: dict[str, Any]) -> str:
    keys = [key for key in sorted({*found, *expected}) if found.get(key) != expected.get(key)]
    return "; ".join(f"its {key} is {found.get(key)!r}, not {expected.get(key)!r}" for key in keys)
