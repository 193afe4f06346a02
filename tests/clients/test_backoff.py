import pytest

from clients.backoff import Backoff, Deadline, Patience
from clients.errors import ServerOverloaded

BUSY = ServerOverloaded("Exceeds maximum queue size")


def test_waits_grow_up_to_the_longest_and_differ() -> None:
    backoff = Backoff(first=1, longest=6, tries=6)
    turns = [Patience(backoff, Deadline()) for _ in range(200)]
    for most in (1, 2, 4, 6, 6):
        waits = [turn.pause(BUSY) for turn in turns]
        assert 0 <= min(waits) < 0.2 * most
        assert 0.8 * most < max(waits) <= most


def test_the_last_refusal_is_told() -> None:
    patience = Patience(Backoff(first=0, tries=3), Deadline())
    assert [patience.pause(BUSY), patience.pause(BUSY)] == [0, 0]
    with pytest.raises(ServerOverloaded) as told:
        patience.pause(BUSY)
    assert told.value is BUSY


def test_nobody_waits_past_the_deadline() -> None:
    patience = Patience(Backoff(first=1e9, longest=1e9), Deadline(1.0))
    with pytest.raises(ServerOverloaded):
        patience.pause(BUSY)


def test_a_deadline_that_has_passed_leaves_nothing() -> None:
    assert Deadline(-5).left() == 0
    assert 0 < Deadline(5).left() <= 5
