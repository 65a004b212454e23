"""Estimates: rehearsals on few items that have counterfactuals, in proportion to the items."""

import time
from pathlib import Path

import pytest
import torch

from diptych.items import MODALITIES, SPLITS
from diptych.models.encode import collate, encode_item
from diptych.models.load import load
from diptych.run import Driver, Store, Study, Unit
from diptych.run.estimate import Clock, Cost, Impossible, Rehearsal, counted, part
from diptych.tasks import make_task

LAB = Path(__file__).parent / "lab"
FEW, SEEDED = str(LAB / "few_counting.py"), str(LAB / "seeded.py")


def test_units_grow_with_the_items_and_statistics_do_not() -> None:
    cost = Cost(forwards=10, working=2.0, between=3.0).times(4)

    assert cost == Cost(40, 8.0, 3.0)
    assert cost.seconds == 11.0


def test_the_clock_adds_up_the_work_and_not_what_is_done_between() -> None:
    clock = Clock()
    worked, between = [0.0], [0.0]

    def spend(where: list[float]) -> dict[str, torch.Tensor]:
        start = time.perf_counter()
        time.sleep(0.002)
        where[0] += time.perf_counter() - start
        return {}

    start = time.perf_counter()
    for _ in clock(lambda vlm, payload: spend(worked), [Unit("a", None), Unit("b", None)], lambda: None):  # type: ignore[arg-type, return-value]
        spend(between)
    elapsed = time.perf_counter() - start

    assert 0.004 <= worked[0] <= clock.seconds <= elapsed - between[0]


@pytest.mark.parametrize("name", ["counting", "arithmetic", "ordering", "sentiment", "factual_recall"])
def test_a_part_keeps_splits_and_counterfactuals(name: str) -> None:
    whole = make_task(name)

    some = part(whole, 12)

    assert [len(some.split(split)) for split in SPLITS] == [12, 12, 12]
    assert all({item.id for item in some.split(split)} <= {item.id for item in whole.split(split)} for split in SPLITS)
    assert all(len(some.contrasts(modality, split)) >= 10 for modality in MODALITIES for split in SPLITS)


def test_prompts_that_pass_the_decoder_are_counted_and_captures_are_not() -> None:
    vlm = load("random:qwen2_vl")
    item = make_task(FEW).items[0]
    inputs = collate([encode_item(vlm, item, "text")] * 3)
    with counted(vlm) as seen, torch.no_grad():
        call = vlm.capture(inputs)
        before = list(seen)
        vlm.run(call)
        vlm.run_inputs(inputs)
    vlm.run(call)

    assert (before, sum(seen)) == ([], 6)


def test_one_rehearsal_serves_every_task_and_seed_in_proportion_and_nothing_is_kept(tmp_path: Path) -> None:
    driver = Driver(Store(tmp_path / "runs"))
    tasks = [FEW, {"name": "counting", "parameters": {"per_split": 200}}]
    study = Study(models="organism/qwen2vl", tasks=tasks, experiments="accuracy", seeds=[0, 1])

    few, again, many, _ = Rehearsal(driver, study.batch_size).costs(driver.plan(study))

    assert isinstance(few, Cost) and isinstance(many, Cost) and few == again
    prompts = sum(item.has(modality) for item in make_task(FEW).items for modality in MODALITIES)
    assert prompts <= few.forwards <= prompts + 10  # accuracy asks each once, and asks for its example
    assert many.forwards / few.forwards == pytest.approx(600 / len(make_task(FEW).items))
    assert few.working > 0 and few.between > 0
    assert not (tmp_path / "runs").exists()


def test_what_cannot_be_rehearsed_is_unknown_with_its_reason_and_the_rest_is_known(
    tmp_path: Path, model_folder: Path
) -> None:
    driver = Driver(Store(tmp_path))
    failing = [{"name": SEEDED, "parameters": {"fail": how}} for how in ("input", "fault")]
    models = [str(model_folder), "nobody/nothing", "random:qwen2_vl"]
    study = Study(models=models, tasks=FEW, experiments=[*failing, SEEDED])

    costs = Rehearsal(driver, study.batch_size).costs(driver.plan(study))

    refused = [cost.reason for cost in costs if isinstance(cost, Impossible)]
    assert costs[:6] == list(map(Impossible, refused))
    assert all("tiny-model" in reason for reason in refused[:3])  # whose weights are none
    assert all("No model 'nobody/nothing'" in reason for reason in refused[3:])
    assert costs[6] == "on 36 items: The data cannot be used. Give other data."
    assert costs[7] == "on 36 items: ZeroDivisionError: a fault of the program"
    assert isinstance(costs[8], Cost)


def test_a_task_that_is_not_there_makes_its_own_cells_impossible(tmp_path: Path) -> None:
    driver = Driver(Store(tmp_path))
    tasks = [FEW, {"name": "folder", "parameters": {"path": "no.jsonl"}}]
    study = Study(models="random:qwen2_vl", tasks=tasks, experiments=SEEDED)

    known, lacking = Rehearsal(driver, study.batch_size).costs(driver.plan(study))

    assert isinstance(known, Cost)
    assert isinstance(lacking, Impossible) and "No file 'no.jsonl'" in lacking.reason
