"""Studies: a file, a Python value and a command are the same grid; one cell that fails does not stop the others."""

import sys
from pathlib import Path
from typing import Any

import pytest

from diptych.cli import main
from diptych.errors import InputError
from diptych.run import Driver, Store, Study, read_study, write_study
from diptych.run.study_file import LARGEST

ROOT = Path(__file__).parent.parent
LAB = ROOT / "tests" / "lab"
SQUARES, ROOTS, SEEDED, FEW = (str(LAB / name) for name in ("squares.py", "roots.py", "seeded.py", "few_counting.py"))

CROSSES = """
from diptych.items import Item, Task


def crosses(*, most: int = 3):
    numbers = range(1, most + 1)
    items = tuple(Item(id=f"i{n}", text="x " * n, image=None, query="How many x?", answer=str(n)) for n in numbers)
    return Task("crosses", 1, items, tuple(map(str, numbers)))
"""


@pytest.fixture
def lab(tmp_path: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "crosses.py").write_text(CROSSES)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def study(**changes: Any) -> Study:
    return Study(**{"models": "tiny-model", "tasks": "crosses.py", "experiments": SQUARES} | changes)


def file(text: str) -> Path:
    path = Path("mine.yaml")
    path.write_text(text)
    return path


def driver(numbers: list[int] | None = None) -> Driver:
    """Computes with a function where a model would be, which notes the numbers it is called with."""
    noted = [] if numbers is None else numbers
    return Driver(Store(Path("runs")), load=lambda source: noted.append)  # type: ignore[arg-type, return-value]


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int | str | None:
    monkeypatch.setattr(sys, "argv", ["diptych", "study", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    return end.value.code


SHORT = f"models: tiny-model\ntasks: crosses.py\nexperiments: {SQUARES}\n"


def test_a_study_is_the_same_as_a_file_and_in_python(lab: Path) -> None:
    text = f"""
models: [tiny-model, {{name: tiny-model, dtype: bfloat16, pixels: [784, 3136]}}]
tasks: [crosses.py, {{name: crosses.py, parameters: {{most: 4}}}}]
experiments:
- {{name: {SQUARES}, parameters: {{count: 2}}}}
- {SEEDED}
seeds: [3, 4]
batch_size: 8
"""
    assert read_study(file(text)) == Study(
        models=["tiny-model", {"name": "tiny-model", "dtype": "bfloat16", "pixels": (784, 3136)}],
        tasks=["crosses.py", {"name": "crosses.py", "parameters": {"most": 4}}],
        experiments=[{"name": SQUARES, "parameters": {"count": 2}}, SEEDED],
        seeds=(3, 4),
        batch_size=8,
        name="mine",
    )


def test_cells_are_models_by_tasks_by_experiments_by_seeds_of_those_that_take_one(lab: Path) -> None:
    found = study(
        tasks=["crosses.py", FEW], models=["tiny-model", "random:llava"], experiments=[SQUARES, SEEDED], seeds=[1, 2]
    )

    told = [(cell.source.name, Path(cell.task.name).stem, cell.experiment.parameters) for cell in found.cells()]

    assert told == [
        (model, task, parameters)
        for model in ("tiny-model", "random:llava")
        for task in ("crosses", "few_counting")
        for parameters in ({}, {"seed": 1}, {"seed": 2})
    ]


def test_shards_are_the_whole_study_and_divide_no_pair_of_model_and_task(lab: Path) -> None:
    found = study(
        tasks=["crosses.py", FEW],
        models=["tiny-model", "random:llava", "random:qwen2_vl"],
        experiments=[SQUARES, ROOTS],
    )

    shares = [found.cells((share, 4)) for share in (1, 2, 3, 4)]

    pairs = [{(cell.source.name, cell.task.name) for cell in share} for share in shares]
    assert [len(share) for share in shares] == [4, 4, 2, 2]
    assert sum(map(len, pairs)) == len(set.union(*pairs)) == 6
    assert sorted(str(cell) for share in shares for cell in share) == sorted(map(str, found.cells()))


@pytest.mark.parametrize("shard", [(0, 2), (3, 2)])
def test_a_shard_that_does_not_exist_is_refused(shard: tuple[int, int], lab: Path) -> None:
    with pytest.raises(InputError, match=r"Expected i/n with i from 1 to n"):
        study().cells(shard)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SHORT + "model: x\n", "model: Unexpected keyword argument"),
        (SHORT.replace("models: tiny-model", "models: {name: a, dtpye: x}"), r"models.0.dtpye: Unexpected"),
        (SHORT.replace("models: tiny-model", "models: {name: a, dtype: float99}"), "No dtype named 'float99'"),
        (SHORT.replace("models: tiny-model\n", ""), r"models: Field required\. See"),
        (SHORT.replace("models: tiny-model", "models: []"), "models: .* should have at least 1 item"),
        (SHORT + "seeds: [a]\n", r"seeds.0: Input should be a valid integer.*\(got 'a'\)"),
        (SHORT + "batch_size: 0\n", "batch_size: Input should be greater than or equal to 1"),
        (SHORT.replace(SQUARES, "squares"), "No experiment named 'squares'"),
        (SHORT.replace(SQUARES, f"{{name: {SQUARES}, parameters: {{cuont: 1}}}}"), "has no parameter 'cuont'"),
        (SHORT.replace(SQUARES, f"{{name: {SEEDED}, parameters: {{seed: 1}}}}") + "seeds: 2", "in one place"),
        (SHORT.replace("crosses.py", "count"), "No task named 'count'"),
        (SHORT.replace("crosses.py", "{name: crosses.py, parameters: {least: 1}}"), "has no parameter 'least'"),
        (SHORT + "seeds: 1\nseeds: 2\n", "key 'seeds' is there twice"),
        ("models: &a [b]\ntasks: *a\nexperiments: c\n", "an alias: write it out"),
        ("models: !!python/object/apply:os.system ['touch pwned']\n", "a tag, .*os.system': leave it out"),
        ("models: !!python/name:os.system\n", "a tag, .*os.system': leave it out"),
        ("models: !!bool x\n", "a tag, .*bool': leave it out"),
        (SHORT + "seeds: " + "9" * 5000, "no study file: Exceeds the limit"),
        (SHORT + 'name: "\\ud800"\n', "no study file: .*surrogates not allowed"),
        ("models: [a\n", "no study file: .*expected ',' or ']'"),
        ("[" * 1100, "no study file"),
        ("- a\n", "holds list; expected keys with values"),
        ("1: a\n", "holds dict; expected keys with values"),
        ("", "holds nothing; expected keys with values"),
        ("# " + "x" * LARGEST, "has more than 1048576 bytes"),
    ],
)  # fmt: skip
def test_what_is_no_study_is_refused_with_its_place(text: str, message: str, lab: Path) -> None:
    with pytest.raises(InputError, match=message):
        read_study(file(text))
    assert not Path("pwned").exists()


def test_a_date_is_a_text(lab: Path) -> None:
    found = read_study(file(SHORT + "name: 2024-12-05\n"))

    assert found.name == "2024-12-05"
    assert read_study(write_study(found, Path("runs"), [])) == found


def test_a_change_goes_to_its_place(lab: Path) -> None:
    changes = {"models.0.dtype": "bfloat16", "tasks.0.parameters.most": "4", "seeds": "5,6", "batch_size": "2"}

    found = read_study(file(SHORT), changes)

    assert (found.models[0].name, found.models[0].dtype) == ("tiny-model", "bfloat16")
    assert (found.tasks[0].parameters, found.seeds, found.batch_size) == ({"most": "4"}, (5, 6), 2)


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("models.1.dtype", "'models.1.dtype'.*Known at this place: 0 to 0"),
        ("models.first", "'first' is not there"),
        ("batch_size.a", "it holds one value"),
        ("modles", "modles: Unexpected keyword argument"),
    ],
)
def test_a_change_of_no_place_is_refused(place: str, message: str, lab: Path) -> None:
    with pytest.raises(InputError, match=message):
        read_study(file(SHORT.replace("tiny-model", "[tiny-model]") + "batch_size: 3\n"), {place: "x"})


def test_a_study_that_is_written_reads_as_the_same_study(lab: Path) -> None:
    wanted = study(seeds=[1], experiments=[SEEDED, {"name": SQUARES, "parameters": {"scale": 0.1}}])

    path = write_study(wanted, Path("runs"), ["a: b\nseeds: [7]"])

    assert path.name == f"study-{wanted.digest()}.yaml"
    assert read_study(path, {"name": "study"}) == wanted
    assert "attention: sdpa" in path.read_text()


def test_a_study_computes_each_result_once(lab: Path) -> None:
    first, second = [], []
    wanted = study(
        experiments=[{"name": SQUARES, "parameters": {"count": 2}}, {"name": ROOTS, "parameters": {"count": 2}}]
    )

    outcomes = list(driver(first).outcomes(wanted))
    again = list(driver(second).outcomes(wanted))

    assert [outcome.result.summary for outcome in outcomes if outcome.result] == ["The squares sum to 1.0.", "2 roots."]
    assert outcomes == again
    assert (first, second) == ([0, 1], [])


def test_a_cell_that_fails_is_told_and_the_others_are_done(lab: Path) -> None:
    failing = [{"name": SEEDED, "parameters": {"fail": how}} for how in ("input", "fault")]
    wanted = study(models=["nobody/nothing", "tiny-model"], experiments=[*failing, SEEDED])

    outcomes = list(driver().outcomes(wanted))

    reasons = [outcome.reason for outcome in outcomes]
    assert all("No model 'nobody/nothing'" in reason for reason in reasons[:3])
    assert reasons[3:] == [
        "The data cannot be used. Give other data.",
        "ZeroDivisionError: a fault of the program",
        "",
    ]
    assert outcomes[-1].result is not None and outcomes[-1].result.summary == "Seed 0."


def test_control_c_ends_a_study(lab: Path) -> None:
    def interrupt(number: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(Driver(Store(Path("runs")), load=lambda source: interrupt).outcomes(study()))  # type: ignore[arg-type, return-value]


def test_the_command_prints_findings_and_ends_with_status_one_and_the_reasons_if_a_cell_fails(
    lab: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = file(SHORT.replace(SQUARES, f"[{SEEDED}, {{name: {SEEDED}, parameters: {{fail: input}}}}]"))

    status = call(monkeypatch, str(path), "--runs", "elsewhere", "-s", "seeds=1,2")

    out, err = capsys.readouterr()
    assert status == 1
    assert "crosses · seeded: Seed 1.\ncrosses · seeded: Seed 2.\n" in out
    assert err.startswith("diptych: 2 of 4 cells failed:\n  tiny-model · crosses.py · ")
    assert err.count("The data cannot be used. Give other data.") == 2
    [resolved] = Path("elsewhere").glob("mine-*.yaml")
    assert out.splitlines()[0] == str(resolved)
    assert "(seed=1): tiny-model/crosses/seeded-" in resolved.read_text()


def test_shards_of_the_command_do_the_whole_study(
    lab: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = file(SHORT.replace(SQUARES, SEEDED) + "seeds: 1,2\n")

    tasks = 'tasks=["crosses.py", {"name": "crosses.py", "parameters": {"most": 4}}]'
    statuses = [call(monkeypatch, str(path), "-s", tasks, "--shard", f"{share}/2") for share in (1, 2)]

    assert statuses == [0, 0]
    assert capsys.readouterr().out.count("Seed ") == 4
    assert len(list(Path("runs").glob("tiny-model/crosses/*/result.json"))) == 4
    assert len(list(Path("runs").glob("*.yaml"))) == 1


@pytest.mark.parametrize("shard", ["1", "a/b", "1/2/3", "2/1"])
def test_a_shard_of_another_form_is_refused(
    shard: str, lab: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, str(file(SHORT)), "--shard", shard) == 2
    assert "such as 1/4" in capsys.readouterr().err
    assert not Path("runs").exists()


def test_a_dry_run_lists_what_is_stored_writes_nothing_and_ends_as_the_study_would(
    lab: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    path = file(f"models: nobody/nothing,tiny-model\ntasks: crosses.py\nexperiments: {SEEDED}\n")
    list(driver().outcomes(read_study(path, {"models": "tiny-model"})))
    before = sorted(Path().rglob("*"))

    status = call(monkeypatch, str(path), "--dry-run")

    printed, err = capsys.readouterr()
    assert status == 1
    assert [line.split("│")[4].strip() for line in printed.splitlines() if line.startswith("│")] == ["?", "complete"]
    assert "2 cells, 1 complete" in printed
    assert err.startswith("diptych: 1 of 2 cells cannot be run here:\n  nobody/nothing · crosses.py · ")
    assert "No model 'nobody/nothing'" in err
    assert sorted(Path().rglob("*")) == before


def test_a_dry_run_ends_well_if_only_its_rehearsal_failed(
    lab: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    experiments = f"[{{name: {SEEDED}, parameters: {{fail: input}}}}]"
    path = file(f"models: random:qwen2_vl\ntasks: crosses.py\nexperiments: {experiments}\n")

    status = call(monkeypatch, str(path), "--dry-run")

    printed, err = capsys.readouterr()
    assert (status, err) == (0, "")
    assert "Not known, random:qwen2_vl · crosses.py" in printed and "The data cannot be used." in printed


def test_the_study_of_the_examples_is_one_and_its_cells_can_be_run() -> None:
    found = read_study(ROOT / "examples" / "study.yaml")

    assert [model.name for model in found.models] == ["organism/qwen2vl", "organism/gemma3"]
    assert len(found.cells()) == 2 * 2 * (3 * 2 + 1 * 2)
