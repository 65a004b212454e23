"""Waiting for a worker: told after a moment and then each minute, and given up only where nothing can come."""

import pytest

from diptych.errors import InputError
from diptych.run.patience import GIVEN_UP, TICK, TOLD, Patience


def waited(ticks: int, *, room: bool) -> Patience:
    found = Patience("1 CPUs and 2 GPUs")
    for _ in range(ticks):
        found.tick(room=room)
    return found


def test_a_wait_is_told_after_a_moment_and_then_each_minute(caplog: pytest.LogCaptureFixture) -> None:
    waited(int(2 * TOLD / TICK), room=True)

    assert caplog.messages == [
        f"Waiting for a worker of 1 CPUs and 2 GPUs, for {told} s so far: it is starting, or others use the nodes."
        for told in (10, 60, 120)
    ]


def test_a_wait_for_nodes_that_others_use_has_no_end() -> None:
    assert waited(int(3 * GIVEN_UP / TICK), room=True).waited == 3 * GIVEN_UP


def test_a_wait_without_a_node_that_has_room_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    found = waited(int(GIVEN_UP / TICK) - 1, room=False)

    assert "no node has room for it; given up at 600 s" in caplog.text
    with pytest.raises(InputError, match="No node has had room for a worker of 1 CPUs and 2 GPUs for 600 s"):
        found.tick(room=False)


def test_a_node_that_comes_ends_the_wait_for_room() -> None:
    found = waited(int(GIVEN_UP / TICK) - 1, room=False)

    found.tick(room=True)
    found.tick(room=False)

    assert found.without_room == TICK
