"""Ray, for real: two nodes on this machine, workers and a node that are killed, and the same bytes as without it."""

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import ray
import torch
from ray.cluster_utils import Cluster

from diptych.cli import main
from diptych.errors import InputError
from diptych.run import Driver, Store, Study, Unit, patience
from diptych.run.ray import RayWorkers

LAB = Path(__file__).parent / "lab"
STUDY = Path(__file__).parent.parent / "examples" / "study.yaml"
TASK, TALLIED, FEW = (str(LAB / name) for name in ("named_crosses.py", "tallied.py", "few_counting.py"))
SMALL = {"num_cpus": 1, "object_store_memory": 80 * 2**20}

pytestmark = pytest.mark.xdist_group("ray")  # one cluster for all tests of this file


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    found = Cluster(initialize_head=True, head_node_args={**SMALL, "include_dashboard": False})
    found.add_node(**SMALL)
    yield found
    ray.shutdown()
    found.shutdown()


@pytest.fixture(scope="module")
def workers(cluster: Cluster) -> Iterator[RayWorkers]:
    with RayWorkers(2, address=cluster.address) as found:
        yield found


def small_study(model: Path) -> Study:
    experiments = [{"name": TALLIED, "parameters": {"first": first}} for first in (0, 8)]
    return Study(models=str(model), tasks=TASK, experiments=experiments)


def files(root: Path) -> dict[str, bytes]:
    found = [path for path in sorted(root.rglob("*")) if path.is_file() and path.suffix != ".log"]
    return {str(path.relative_to(root)): path.read_bytes() for path in found}


def drive(root: Path, model: Path, load: Callable[[Any], Any], **options: Any) -> dict[str, bytes]:
    """The bytes of a study's results."""
    outcomes = list(Driver(Store(root), load=load, **options).outcomes(small_study(model)))
    assert all(outcome.result for outcome in outcomes), [outcome.reason for outcome in outcomes]
    return files(root)


def noting(log: Path, ends_at: str = "") -> Callable[[Any], Any]:
    """What stands for loading a model; a worker that comes to `ends_at` kills itself, once."""

    def load(source: Any) -> Callable[[str], None]:
        def note(unit: str) -> None:
            told = log.read_text() if log.exists() else ""
            with log.open("a") as file:
                file.write(f"{os.getpid()} {unit}\n")
            if unit == ends_at and f" {unit}\n" not in told:
                os.kill(os.getpid(), signal.SIGKILL)

        return note

    return load


def notes(log: Path) -> list[list[str]]:
    return [line.split() for line in log.read_text().splitlines()]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": 0}, "0 workers of 1 CPUs"),
        ({"workers": 1, "gpus": 8}, "No node has room for a worker of 1 CPUs and 8 GPUs"),
    ],
)
def test_workers_that_cannot_be_are_refused(options: dict[str, Any], message: str, cluster: Cluster) -> None:
    with pytest.raises(InputError, match=message), RayWorkers(address=cluster.address, **options):
        pass
    assert not ray.is_initialized()


def test_a_ray_that_cannot_be_started_is_a_message_that_says_what_to_do(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "diptych", "study", str(STUDY), "--executor", "ray"]
    paths = {
        "PYTHONPATH": ":".join(sys.path),
        "RAY_TMPDIR": f"{tmp_path}/{'deep' * 30}",
    }  # a socket's may have 107 letters

    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **paths})

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("diptych: Ray cannot be started: ")
    assert "107" in done.stderr and "work serially, without `--executor ray`" in done.stderr


def test_a_cluster_that_is_not_there_is_told_with_what_to_do() -> None:
    with pytest.raises(InputError, match=r"Ray cannot be reached at 'nothing': .* Start it with `ray start`"):
        RayWorkers(1, address="nothing").__enter__()


def test_while_no_node_has_room_it_is_told_and_waited_for_a_node_and_then_given_up(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(patience, "TICK", 0.5)
    monkeypatch.setattr(patience, "GIVEN_UP", 1.5)
    nodes = [cluster.add_node(**{**SMALL, "num_cpus": 2})]

    def bring_a_node(record: logging.LogRecord) -> bool:
        if "no node has room for it" in record.getMessage() and len(nodes) == 1:
            nodes.append(cluster.add_node(**{**SMALL, "num_cpus": 2}))
        return True

    monkeypatch.setattr(patience.log, "filters", [bring_a_node])
    with RayWorkers(1, address=cluster.address, cpus=2) as workers:
        done = workers(lambda vlm, payload: {}, [Unit(name, None) for name in "abc"], lambda: None)  # type: ignore[arg-type, return-value]
        assert next(done)[0].id == "a"
        cluster.remove_node(nodes[0])  # gracefully: of one that is killed Ray learns late
        assert next(done)[0].id == "b"
        cluster.remove_node(nodes[1])
        with pytest.raises(InputError, match=r"^No node has had room for a worker of 2 CPUs and 0 GPUs for 2 s"):
            next(done)

    assert len(nodes) == 2
    assert "Waiting for a worker of 2 CPUs and 0 GPUs" in caplog.text


def test_the_command_line_passes_on_what_workers_are_to_be(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--executor", "ray", "--workers", "-2", "--cpus", "0.5", "--gpus", "2"]
    commands = (["run", "accuracy", "--model", "organism/qwen2vl", "--task", FEW], ["study", str(STUDY)])
    for command in commands:
        monkeypatch.setattr("sys.argv", ["diptych", *command, *options])
        with pytest.raises(SystemExit) as end:
            main()
        assert end.value.code == 2
        assert "-2 workers of 0.5 CPUs and 2.0 GPUs" in capsys.readouterr().err


def test_a_study_on_two_workers_has_the_bytes_of_a_serial_one(
    tmp_path: Path, model_folder: Path, workers: RayWorkers
) -> None:
    whole = drive(tmp_path / "whole", model_folder, noting(tmp_path / "serial"))

    assert drive(tmp_path / "runs", model_folder, noting(tmp_path / "log"), executor=workers) == whole

    noted = notes(tmp_path / "log")
    assert noted and {pid for pid, _ in noted} <= set(map(str, workers.processes()))  # a quick one may do everything
    assert len(set(workers.processes())) == 2
    assert sorted(unit for _, unit in noted) == sorted(f"crosses-{number}" for number in range(16))


def test_a_worker_that_is_killed_is_replaced_and_its_unit_done_again(
    tmp_path: Path, model_folder: Path, workers: RayWorkers
) -> None:
    whole = drive(tmp_path / "whole", model_folder, noting(tmp_path / "serial"))
    load = noting(tmp_path / "log", ends_at="crosses-3")

    assert drive(tmp_path / "runs", model_folder, load, executor=workers) == whole

    noted = [unit for _, unit in notes(tmp_path / "log")]
    assert noted.count("crosses-3") == 2 and len(noted) == 17


def test_a_unit_that_ends_every_worker_is_told(workers: RayWorkers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diptych.run.ray.LOST", 1)

    def deadly(vlm: Any, payload: Any) -> dict[str, torch.Tensor]:
        os.kill(os.getpid(), signal.SIGKILL)
        return {}

    with pytest.raises(InputError, match="1 workers ended over unit 'a', perhaps for want of memory: .*`--batch-size`"):
        list(workers(deadly, [Unit("a", None)], lambda: None))  # type: ignore[arg-type, return-value]


def test_an_error_of_a_unit_is_the_error_of_the_run(workers: RayWorkers) -> None:
    def refusing(vlm: Any, payload: Any) -> dict[str, torch.Tensor]:
        raise InputError(f"Unit {payload} cannot be used.")

    with pytest.raises(InputError, match="^Unit 7 cannot be used.$"):
        list(workers(refusing, [Unit("a", 7)], lambda: None))  # type: ignore[arg-type, return-value]


def test_a_model_that_is_loaded_in_workers_gives_the_bytes_of_a_serial_run(tmp_path: Path, workers: RayWorkers) -> None:
    study = Study(models={"name": "organism/qwen2vl", "device_map": "auto"}, tasks=FEW, experiments="accuracy")

    [serial] = Driver(Store(tmp_path / "serial")).outcomes(study)
    [spread] = Driver(Store(tmp_path / "ray"), executor=workers).outcomes(study)

    assert serial == spread and serial.result
    assert len(files(tmp_path / "serial")) > 4
    assert files(tmp_path / "ray") == files(tmp_path / "serial")


def test_a_node_that_is_killed_costs_no_unit(
    tmp_path: Path, model_folder: Path, cluster: Cluster, workers: RayWorkers
) -> None:
    whole = drive(tmp_path / "whole", model_folder, noting(tmp_path / "serial"))
    both = set(workers.processes())
    [node] = cluster.worker_nodes

    @contextmanager
    def kill_the_node(*stage: Any) -> Iterator[Callable[[int], None]]:
        def told(done: int) -> None:
            if done == 5 and node in cluster.worker_nodes:
                cluster.remove_node(node, allow_graceful=False)

        yield told

    runs = drive(tmp_path / "runs", model_folder, noting(tmp_path / "log"), executor=workers, progress=kill_the_node)

    assert runs == whole
    assert not cluster.worker_nodes
    assert {int(pid) for pid, _ in notes(tmp_path / "log")} == both
