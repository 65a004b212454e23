"""Drives one small study in child processes: killed at random moments, and two at a time. Prints what happened as JSON.

`many_drivers.py FOLDER MODEL KILLS PAIRS`. The children are forks of this process, which has imported everything.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import torch

from diptych.run import Driver, Store, Study

HERE = Path(__file__).parent
TASK, TALLIED = str(HERE / "named_crosses.py"), str(HERE / "tallied.py")


def small_study(model: str) -> Study:
    """Four cells of eight units each; every unit has an id of its own."""
    tasks = [{"name": TASK, "parameters": {"name": name}} for name in ("left", "right")]
    experiments = [{"name": TALLIED, "parameters": {"first": first}} for first in (0, 8)]
    return Study(models=model, tasks=tasks, experiments=experiments)


def drive(root: Path, log: Path, study: Study) -> None:
    def note(unit: str) -> None:
        with log.open("a") as file:
            file.write(unit + "\n")

    outcomes = list(Driver(Store(root), load=lambda source: note).outcomes(study))  # type: ignore[arg-type, return-value]
    assert all(outcome.result for outcome in outcomes), [outcome.reason for outcome in outcomes]


def child(root: Path, log: Path, study: Study) -> int:
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            drive(root, log, study)
            status = 0
        finally:
            os._exit(status)
    return pid


def stored(root: Path) -> set[str]:
    return {path.stem for path in root.rglob("units/*/*.safetensors")}


def lines(log: Path) -> list[str]:
    return log.read_text().splitlines() if log.exists() else []


def wait_for(pid: int, log: Path, count: int) -> tuple[int, int]:
    """Until the log has so many lines, or until the process has ended, as `os.waitpid` tells it."""
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended or len(lines(log)) >= count:
            return ended, status
        time.sleep(0.001)


def kill(folder: Path, study: Study, count: int) -> dict[str, object]:
    """Kill `count` drivers at random moments; a study that gets done is followed by a fresh one."""
    chance, left, again, done_at, rounds = random.Random(0), count, [], [], 0
    while left:
        root, log = folder / f"killed{rounds}", folder / f"log{rounds}"
        rounds += 1
        finished = False
        while not finished:
            before, told = stored(root), len(lines(log))
            pid = child(root, log, study)
            ended = 0
            if left:
                ended, status = wait_for(pid, log, told + chance.randrange(6))
                time.sleep(chance.uniform(0, 0.02))
                if not ended:
                    os.kill(pid, signal.SIGKILL)
            if not ended:
                _, status = os.waitpid(pid, 0)
            if os.WIFSIGNALED(status):
                left -= 1
                done_at.append(len(stored(root)))
            else:
                assert os.waitstatus_to_exitcode(status) == 0, "a driver failed"
                finished = True
            new = lines(log)[told:]
            again += [unit for unit in new if unit in before or new.count(unit) > 1]
    return {"kills": count, "rounds": rounds, "stored when killed": done_at, "computed after it was stored": again}


def pair(folder: Path, study: Study, count: int) -> dict[str, object]:
    """Two drivers on one folder at once, `count` times; how often each unit was computed."""
    for number in range(count):
        root, log = folder / f"pair{number}", folder / f"pair{number}.log"
        for pid in [child(root, log, study), child(root, log, study)]:
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, "a driver failed"
    return {"rounds": count, "computed": [len(lines(folder / f"pair{number}.log")) for number in range(count)]}


if __name__ == "__main__":
    torch.set_num_threads(1)
    where, wanted = Path(sys.argv[1]), small_study(sys.argv[2])
    drive(where / "whole", where / "log", wanted)
    units = len(stored(where / "whole"))
    told = {"kill": kill(where, wanted, int(sys.argv[3])), "pair": pair(where, wanted, int(sys.argv[4]))}
    print(json.dumps(told | {"units": units}))
