"""Each example of an extension is one file that works by its name, and says what is true of it."""

import runpy
import sys
from pathlib import Path

import pytest
import torch

import diptych
from commands import Command
from diptych.errors import InputError
from diptych.items import SPLITS
from diptych.registry import file_digest
from diptych.run.source import ModelSource, load_model

EXAMPLES = Path(__file__).parent.parent / "examples"
TASK, METHOD, MODEL, EXPERIMENT = (
    str(EXAMPLES / f"my_{kind}.py") for kind in ("task", "method", "model", "experiment")
)
FEW = str(Path(__file__).parent / "lab" / "few_counting.py")


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_an_example_has_fewer_than_60_lines(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) < 60


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["accuracy", "--model", "organism/qwen2vl", "--task", TASK, "--set", "per_split=12"], "crosses is answered"),
        (["discover", "--task", FEW, "-p", "modality=text", "-p", f"method={METHOD}"], "the strongest head is layer"),
        ([EXPERIMENT, "--task", FEW, "-p", "split=select"], "The likeliest token has"),
        (["accuracy", "--task", FEW, "--model", MODEL], "counting is answered correctly"),
    ],
    ids=["task", "method", "experiment", "model"],
)
def test_a_file_works_by_its_name(arguments: list[str], found: str, command: Command, tmp_path: Path) -> None:
    model = [] if "--model" in arguments else ["--model", "organism/qwen2vl"]

    said = command("run", *arguments, *model, "--runs", str(tmp_path))

    assert said.status == 0, said.err
    assert found in " ".join(said.out.split())


def test_the_task_can_be_taken_apart_into_contrasts_of_both_panels() -> None:
    task = diptych.make_task(TASK, per_split=12)

    assert all(item.paired for item in task.items) and all(task.split(split) for split in SPLITS)
    assert all(str(item.text.count("x")) == item.answer for item in task.items)
    assert task.contrasts("image", "discover") and task.contrasts("text", "test")


def test_the_method_scores_how_far_nodes_move() -> None:
    vlm = diptych.load("random:qwen2_vl", verify=False)
    task = diptych.make_task(FEW)
    found = diptych.encode(vlm, task.contrasts("image", "discover")[:2], diptych.answer_tokens(vlm, task))

    scores = diptych.find("attribution", METHOD)(vlm, found.batches[0]).scores

    same = found.batches[0]
    still = diptych.find("attribution", METHOD)(
        vlm, diptych.Batch(same.contrasts, same.clean, same.clean, same.answers, same.counter_answers, same.layout)
    ).scores
    assert float(scores.heads.max()) > 0 and float(scores.neurons.max()) > 0
    assert float(still.heads.abs().max()) == float(still.neurons.abs().max()) == 0


@torch.no_grad()
def test_the_model_of_a_file_is_proven_sparse_and_named_by_its_text(tmp_path: Path) -> None:
    vlm = diptych.load(MODEL)
    task = diptych.make_task(FEW)
    some = diptych.encode(vlm, task.contrasts("image", "test")[:2], diptych.answer_tokens(vlm, task)).batches[0]

    with vlm.record() as recording:
        vlm.run(vlm.capture(some.clean))

    kept = [(layer != 0).sum(-1) for layer in recording.activations().neurons]
    assert all(int(count.max()) == int(count.min()) == 64 for count in kept)
    assert vlm.revision == file_digest(MODEL) == ModelSource(MODEL).fingerprint
    assert ModelSource(MODEL).label == "my_model.py"


def test_an_edited_model_is_another_one(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    text = "import diptych\n\n\ndef mine(*, dtype, attention):\n    vlm = diptych.load('random:llava:SEED', verify=False)\n"
    text += "    return vlm.model, vlm.processor\n"
    found = []
    for seed in ("1", "2"):
        path.write_text(text.replace("SEED", seed))
        found.append(load_model(ModelSource(str(path))))

    weights = [next(vlm.model.parameters()) for vlm in found]
    assert len({vlm.digest for vlm in found}) == len({vlm.revision for vlm in found}) == 2
    assert not torch.equal(*weights)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("def mine(): ...", "cannot be made: TypeError: .*Expected `def mine\\(\\*, dtype: str, attention: str\\)`"),
        (
            "def mine(*, dtype, attention): raise ValueError('no weights')",
            "cannot be made: ValueError: no weights. Expected",
        ),
        (
            "def mine(*, dtype, attention): return 1, 2",
            "gives int, int; expected a model of transformers and a processor",
        ),
        ("def mine(*, dtype, attention): return 1", "gives int; expected a model of transformers and a processor"),
    ],
)
def test_a_file_that_makes_no_model_is_refused(text: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(text)

    with pytest.raises(InputError, match=reason):
        diptych.load(str(tmp_path / "mine.py"))


def test_what_a_file_decides_itself_is_refused() -> None:
    with pytest.raises(InputError, match="my_model.py' takes no device_map: .* one from a file as the file says"):
        diptych.load(MODEL, device_map="auto")
    with pytest.raises(InputError, match="Revision 'main' cannot be chosen for .*my_model.py', which is a file"):
        diptych.load(MODEL, revision="main")
    with pytest.raises(InputError, match="No file 'nowhere/mine.py'. Expected a Python file"):
        ModelSource("nowhere/mine.py").fingerprint  # noqa: B018


def test_the_first_circuit_says_what_it_keeps_of_the_answer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["first_circuit.py"])

    runpy.run_path(str(EXAMPLES / "first_circuit.py"), run_name="__main__")

    *segments, whole, circuit, nothing = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in segments] == ["prefix", "data", "query", "generation"]
    differences = [float(line.split("=")[1]) for line in (whole, circuit, nothing)]
    assert differences[0] > differences[1] > differences[2] and differences[2] < 0 < differences[0]
