"""Where a model comes from, and which weights it has: known without loading it."""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict, with_config

from diptych.errors import InputError
from diptych.retries import told_once

if TYPE_CHECKING:
    from diptych.models import VLM


@with_config(ConfigDict(extra="forbid"))  # a misspelt option in a study file is noticed
@dataclass(frozen=True)
class ModelSource:
    """A shipped organism (`organism/<name>`), a random model (`random:<architecture>`), a folder, a `.py` file, or a hub
    repository."""

    name: str
    revision: str | None = None
    dtype: str = "float32"
    device_map: str | None = None
    offload_folder: str | None = None
    quantisation: str | None = None
    attention: str = "sdpa"
    pixels: tuple[int, int] | None = None
    system: str | None = None

    def __post_init__(self) -> None:
        from diptych.models.load import DTYPES, require_hub
        from diptych.models.pixels import require_budget
        from diptych.models.quantised import require_quantisation

        if self.dtype not in DTYPES:
            raise InputError(f"No dtype named '{self.dtype}'. Known: {', '.join(DTYPES)}.")
        require_hub(self.name, self.revision)
        require_quantisation(self.quantisation)
        if self.pixels is not None:
            require_budget(self.pixels)
            object.__setattr__(self, "pixels", tuple(self.pixels))  # from YAML and JSON it comes as a list

    @property
    def options(self) -> dict[str, Any]:
        """How the model is loaded, as far as numbers depend on it."""
        return {name: getattr(self, name) for name in ("quantisation", "attention", "pixels", "system")}

    @cached_property
    def place(self) -> str:
        """The folder, or the name itself if it is the hub's; raises `InputError` for a folder that holds no model."""
        from diptych.models.load import locate

        return locate(self.name)

    @property
    def label(self) -> str:
        """The name in results: the same on every machine, so a path counts by its last part."""
        is_path = self.place == self.name and Path(self.name).exists()
        return Path(self.name).resolve().name if is_path else self.name

    @cached_property
    def fingerprint(self) -> str:
        """The hub's commit, or a digest of what a model on this machine is made from."""
        return self.local or _commit(self.name, self.revision)

    @cached_property
    def local(self) -> str | None:
        """The digest of what a model on this machine is made from: a folder, a file, a random model's recipe."""
        from diptych.models.digest import local_digest

        return local_digest(self.place)


def load_model(source: ModelSource) -> "VLM":
    """Load the model; once per process, so that several runs on one model share it, until its files change."""
    return _loaded(source, source.fingerprint)


@lru_cache(maxsize=1)
def _loaded(source: ModelSource, fingerprint: str) -> "VLM":
    from diptych.models import load

    return load(
        source.name,
        revision=None if source.local else fingerprint,
        dtype=source.dtype,
        device_map=source.device_map,
        offload_folder=source.offload_folder,
        **source.options,
    )


def _commit(name: str, revision: str | None) -> str:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        with told_once():
            config = hf_hub_download(name, "config.json", revision=revision)
    except (OSError, ValueError, HfHubHTTPError) as error:
        raise InputError(
            f"No model '{name}'{f' at revision {revision}' if revision else ''}: it is no folder or file, and the Hugging "
            f"Face hub and its cache do not have it ({type(error).__name__}). Check the name and the connection, give the "
            f"path of a folder with a config.json, or see `diptych models`."
        ) from error
    return Path(config).parent.name  # the cache keeps files under snapshots/<commit>/
