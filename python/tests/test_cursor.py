"""The memory of what was seen, against a model: whatever the interleaving, each event once and in order."""

from __future__ import annotations

import random

import pytest

from arqonbus import Address, Envelope, Joined, Position, Reset
from arqonbus.cursor import Cursors

STREAM = Address("r", "x")


def event(sequence: int, epoch: str = "e", sender: str = "other") -> Envelope:
    return {
        "version": "1.0",
        "id": f"arq_{sequence}",
        "type": "event",
        "from": sender,
        "timestamp": "",
        "payload": {"n": sequence},
        "metadata": {"sequence": sequence, "epoch": epoch},
    }


def joined(sequence: int, recovered: bool | None, epoch: str = "e", positions: dict | None = None) -> Joined:
    return Joined("r", "x", Position(sequence, epoch), 1, recovered, positions or {})


def taken(cursors: Cursors, *sequences: int, epoch: str = "e") -> list[int | Reset]:
    items = [item for n in sequences for item in cursors.offer(STREAM, event(n, epoch))]
    return [item if isinstance(item, Reset) else item["payload"]["n"] for item in items]


def test_duplicates_are_dropped() -> None:
    cursors = Cursors()
    assert taken(cursors, 3, 4, 4, 3, 5) == [3, 4, 5]


def test_a_join_sets_the_place_unless_the_stream_is_already_followed() -> None:
    cursors = Cursors()
    cursors.begin(STREAM, Position(5, "e"))
    assert taken(cursors, 5, 6) == [6]
    cursors.begin(STREAM, Position(9, "e"))
    assert taken(cursors, 7) == [7]
    cursors.begin(STREAM, Position(0, "f"))
    assert taken(cursors, 1, epoch="f") == [1]


def test_own_acks_move_the_place_only_where_nothing_is_missing() -> None:
    cursors = Cursors()
    cursors.begin(STREAM, Position(1, "e"))
    cursors.mark_own(2, "e")
    assert cursors.position(STREAM) == Position(2, "e")
    cursors.mark_own(4, "e")
    cursors.mark_own(3, "another stream")
    assert cursors.position(STREAM) == Position(2, "e")
    assert taken(cursors, 3) == [3]


def test_a_new_epoch_is_told_when_its_beginning_was_missed() -> None:
    cursors = Cursors()
    taken(cursors, 7)
    assert taken(cursors, 1, 2, epoch="f") == [1, 2]
    assert taken(cursors, 5, epoch="g") == [Reset("r:x", "new_epoch", Position(5, "g")), 5]


def test_a_replay_comes_before_live_events_that_overtake_it() -> None:
    cursors = Cursors()
    taken(cursors, 1, 2)
    assert cursors.resumed(STREAM, joined(6, True)) is None
    assert taken(cursors, 7, 3, 8, 5, 4, 6, 9) == [3, 4, 5, 6, 7, 8, 9]


def test_a_hole_in_the_replay_is_told_and_ends_the_waiting() -> None:
    cursors = Cursors()
    taken(cursors, 1)
    cursors.resumed(STREAM, joined(6, True))
    assert taken(cursors, 2, 7) == [2]
    told = cursors.gap(STREAM)
    assert told == [Reset("r:x", "not_recovered", Position(2, "e")), event(7)]
    assert taken(cursors, 8) == [8]


@pytest.mark.parametrize("answer", [joined(9, False), joined(9, None), joined(9, False, "f")])
def test_what_was_not_recovered_is_told_and_the_place_is_the_answers(answer: Joined) -> None:
    cursors = Cursors()
    taken(cursors, 1)
    assert cursors.resumed(STREAM, answer) == Reset("r:x", "not_recovered", answer.position)
    assert cursors.position(STREAM) == answer.position


def test_a_channel_made_meanwhile_begins_with_what_is_kept() -> None:
    cursors = Cursors()
    room = Address("r", "*")
    cursors.begin(room, Position(0, "w"))
    told = Joined("r", "*", Position(0, "w"), 1, True, {"x": Position(9, "e"), "*": Position(0, "w")})
    assert cursors.resumed(room, told) is None
    assert taken(cursors, 5, 6, 9) == [5, 6, 9]


@pytest.mark.parametrize("seed", range(200))
def test_any_interleaving_of_replay_and_live_gives_each_event_once_in_order(seed: int) -> None:
    draw = random.Random(seed)
    seen, target = draw.randint(0, 5), draw.randint(5, 20)
    live = list(range(target + 1, target + draw.randint(1, 10)))
    cursors = Cursors()
    cursors.begin(STREAM, Position(seen, "e"))
    cursors.resumed(STREAM, joined(target, True))
    # A second membership of the client brings a replay of its own, from another place, and live events early.
    sources = [list(range(seen + 1, target + 1)) + live, list(range(draw.randint(1, target), target + 1)), list(live)]
    found: list[int | Reset] = []
    while any(sources):
        source = draw.choice([source for source in sources if source])
        found += taken(cursors, source.pop(0))
    assert found == list(range(seen + 1, (live or [target])[-1] + 1))
