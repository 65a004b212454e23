"""The executor of several processes and machines: Ray actors that load the model themselves. Ray is imported here alone."""

import logging
import math
import os
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

from diptych.errors import InputError
from diptych.registry import from_files
from diptych.run import patience
from diptych.run.unit import Unit, Values, Work

if TYPE_CHECKING:
    from diptych.models import VLM

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent to anybody

try:
    import ray
    from ray.exceptions import ObjectLostError, RayActorError, RayTaskError
except ImportError as error:
    raise InputError("Ray is not installed. Install it with `pip install 'diptych[ray]'`, or work serially.") from error

LOST = 3
"""How many workers may end over one unit, killed for its memory or with their node, before it is given up."""


class _Worker:
    """Does units in a process of its own; the model stays loaded there until units of another one come."""

    def __init__(self, threads: int) -> None:
        import torch

        torch.set_num_threads(threads)  # as in the driver: sums of floats depend on it

    def ready(self) -> int:
        """The number of the process."""
        return os.getpid()

    def do(self, how: "tuple[Work, Callable[[], VLM]]", payload: Any) -> Values:
        """The values of a unit, on the CPU."""
        work, load = how
        return {name: tensor.detach().cpu() for name, tensor in work(load(), payload).items()}


class RayWorkers:
    """An executor of `workers` actors, each with `cpus` and `gpus` (a fraction, for small models; several, for models that
    `device_map="auto"` spreads). While open, Ray runs here, or `address` is connected to ("auto": the cluster of this node).

    A worker that ends is replaced, and its unit goes to whichever is free. Units are handed out one by one, so no actor
    holds what another waits for. Raises `InputError` if Ray cannot be had or no node can hold a worker, at once when it
    is opened, later after a wait (`Patience`).
    """

    def __init__(
        self, workers: int | None = None, *, address: str | None = None, cpus: float = 1, gpus: float | None = None
    ) -> None:
        if (workers is not None and workers < 1) or cpus < 0 or (gpus or 0) < 0:
            raise InputError(
                f"{workers} workers of {cpus} CPUs and {gpus} GPUs; expected at least one, and none negative."
            )
        self._wanted, self._address, self._cpus, self._gpus = workers, address, cpus, gpus
        self._actors: list[Any] = []

    def __enter__(self) -> Self:
        if ray.is_initialized():
            raise InputError("Ray is in use in this process already. Leave it first, with `ray.shutdown()`.")
        local: dict[str, Any] = {"address": "local", "include_dashboard": False}
        if self._wanted and self._address is None:
            local["num_cpus"] = max(1, math.ceil(self._wanted * self._cpus))
        where = {"address": self._address} if self._address else local
        try:
            ray.init(log_to_driver=False, logging_level=logging.ERROR, **where)
        except Exception as error:  # a start that takes too long raises no class of its own
            raise InputError(_not_there(self._address, error)) from error
        try:
            self._actors = [self._start() for _ in range(self._count())]
            self._waiting = patience.Patience(self._size)
        except BaseException:
            ray.shutdown()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        for actor in self._actors:
            ray.kill(actor)
        self._actors = []
        ray.shutdown()

    def processes(self) -> list[int]:
        """The numbers of the workers' processes, once all of them have begun."""
        found: list[int] = ray.get([actor.ready.remote() for actor in self._actors])
        return found

    def __call__(self, work: Work, units: Iterable[Unit], load: "Callable[[], VLM]") -> Iterator[tuple[Unit, Values]]:
        """Do the units on whichever worker is free; yield them as they finish."""
        for module in from_files():
            ray.cloudpickle.register_pickle_by_value(module)  # a user's file can be imported by no name elsewhere
        how = ray.put((work, load))
        new, again, lost = iter(units), deque[Unit](), Counter[str]()
        idle: list[Any] = []
        busy: dict[Any, tuple[Any, Unit | None]] = {actor.ready.remote(): (actor, None) for actor in self._actors}
        while True:
            while idle and (unit := again.popleft() if again else next(new, None)) is not None:
                actor = idle.pop()
                busy[actor.do.remote(how, unit.payload)] = (actor, unit)
            if idle and not any(unit for _, unit in busy.values()):
                return  # there is no unit left; workers that have not begun are not waited for
            finished, _ = ray.wait(list(busy), num_returns=1, timeout=patience.TICK)
            if not finished:
                if not any(unit for _, unit in busy.values()):
                    self._waiting.tick(room=self._room() > 0)
                continue
            self._waiting = patience.Patience(self._size)
            [done] = finished
            actor, unit = busy.pop(done)
            try:
                values = ray.get(done)
            except RayTaskError as error:
                raise error.cause from error
            except (RayActorError, ObjectLostError) as error:
                actor = self._replace(actor)
                busy[actor.ready.remote()] = (actor, None)
                self._count_lost(lost, unit, error)
                again.extend([unit] if unit else [])
                continue
            idle.append(actor)
            if unit is not None:
                yield unit, values

    def _count_lost(self, lost: Counter[str], unit: Unit | None, error: Exception) -> None:
        """Raise `InputError` if too many workers have ended over one unit, or before they had one."""
        name, most = (f"unit '{unit.id}'", LOST) if unit else ("starting", LOST * len(self._actors))
        lost[name] += 1
        if lost[name] >= most:
            raise InputError(
                f"{most} workers ended over {name}, perhaps for want of memory: {_first_line(error)} "
                f"Give less at once (`--batch-size`, fewer `--workers` on a node); what is finished is kept."
            ) from error

    def _start(self) -> Any:
        import torch

        options = {"num_cpus": self._cpus, "num_gpus": self._gpus or 0, "max_restarts": 0, "max_task_retries": 0}
        return ray.remote(_Worker).options(**options).remote(torch.get_num_threads())

    def _replace(self, actor: Any) -> Any:
        """A new worker in the place of one that ended: Ray's own restart would wait for room on a node that is gone."""
        with suppress(ValueError, RayActorError):
            ray.kill(actor)
        place = self._actors.index(actor)
        self._actors[place] = self._start()
        return self._actors[place]

    def _count(self) -> int:
        """How many workers there are to be; without a wish, as many as there is room for."""
        if self._gpus is None:
            self._gpus = float(any(node.get("GPU", 0) >= 1 for node in _nodes()))
        room = self._room()
        if not room:
            raise InputError(f"No node has room for a worker of {self._size}; there are {_nodes()}. Give less.")
        return self._wanted or room

    @property
    def _size(self) -> str:
        return f"{self._cpus} CPUs and {self._gpus or 0} GPUs"

    def _room(self) -> int:
        """How many workers the nodes could hold, were they free."""
        needs = {"CPU": self._cpus, "GPU": self._gpus}
        fits = [[int(node.get(kind, 0) / need) for kind, need in needs.items() if need] for node in _nodes()]
        return sum(min(counts, default=1) for counts in fits)


def _nodes() -> list[dict[str, float]]:
    """What each node has that is there."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _not_there(address: str | None, error: Exception) -> str:
    """Why there is no Ray, and what to do."""
    if address:
        return f"Ray cannot be reached at '{address}': {_first_line(error)} Start it with `ray start`."
    return (
        f"Ray cannot be started: {_first_line(error)} Try again when the machine is less busy, look into "
        f"Ray's logs (/tmp/ray/session_latest/logs), or work serially, without `--executor ray`."
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".") + "."
