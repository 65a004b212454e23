"""A hub that does not answer: told once, by one line and one error, and nothing is set for good."""

import logging
from collections.abc import Callable

import datasets.config
import huggingface_hub.constants
import huggingface_hub.utils._http
import pytest

from diptych.errors import DiptychError
from diptych.models import load
from diptych.retries import CLIENT, told_once
from diptych.run.source import ModelSource
from diptych.tasks import make_task

NOBODY = "http://127.0.0.1:9"
"""Where nothing listens."""


@pytest.fixture
def silent_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hub that does not answer, asked again without waiting."""
    constants = huggingface_hub.constants
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", NOBODY)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", NOBODY + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(huggingface_hub.utils._http.time, "sleep", lambda seconds: None)


@pytest.mark.parametrize(
    "ask",
    [
        lambda: load("nobody/nothing"),
        lambda: ModelSource("nobody/nothing").fingerprint,
        lambda: make_task("hub", data="nobody/nothing", split="train"),
    ],
    ids=["model", "commit", "data set"],
)
def test_a_hub_that_does_not_answer_is_told_once(
    ask: Callable[[], object], silent_hub: None, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(DiptychError, match="nobody/nothing"):
        ask()

    [said] = [record.getMessage() for record in caplog.records if record.name == CLIENT]
    assert "thrown while requesting" in said and said.endswith("with HF_HUB_OFFLINE=1 in the environment, not at all.")
    assert logging.getLogger(CLIENT).filters == []


def test_other_words_of_the_client_pass(caplog: pytest.LogCaptureFixture) -> None:
    with told_once():
        logging.getLogger(CLIENT).warning("Rate limited. Waiting %ss before retry", 300)

    assert caplog.messages == ["Rate limited. Waiting 300s before retry"]
