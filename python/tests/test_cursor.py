"""The memory of what was seen, against a model: whatever the interleaving, each event once and in order."""

from __future__ import annotations

import random

import pytest

from arqonbus import Address, Envelope, Joined, Position, Reset
from arqonbus.cursor import Cursors, StreamCursor

STREAM = Address("r", "x")
SINCE = Position(0, "e")


def event(sequence: int, epoch: str = "e", sender: str = "other", *, replayed: bool = False) -> Envelope:
    return {
        "version": "1.0",
        "id": f"arq_{sequence}",
        "type": "event",
        "from": sender,
        "timestamp": "",
        "payload": {"n": sequence},
        "metadata": {"sequence": sequence, "epoch": epoch, **({"replayed": True} if replayed else {})},
    }


def joined(sequence: int, recovered: bool | None, epoch: str = "e", positions: dict | None = None) -> Joined:
    return Joined("r", "x", Position(sequence, epoch), 1, recovered, positions or {})


def resume(cursors: Cursors, answer: Joined, *, is_last: bool = False) -> tuple[list[Reset], bool]:
    asked = cursors.since(STREAM)
    assert asked is not None
    return cursors.resume(STREAM, answer, asked, is_last=is_last)


def taken(cursors: Cursors, *sequences: int, epoch: str = "e") -> list[int | Reset]:
    items = [item for n in sequences for item in cursors.offer(STREAM, event(n, epoch))]
    return [item if isinstance(item, Reset) else item["payload"]["n"] for item in items]


def test_duplicates_are_dropped() -> None:
    cursors = Cursors()
    assert taken(cursors, 3, 4, 4, 3, 5) == [3, 4, 5]


def test_a_join_sets_the_place_unless_the_stream_is_already_followed() -> None:
    cursors = Cursors()
    cursors.begin(STREAM, joined(5, None))
    assert taken(cursors, 5, 6) == [6]
    cursors.begin(STREAM, joined(9, None))
    assert taken(cursors, 7) == [7]
    cursors.begin(STREAM, joined(0, None, "f"))
    assert taken(cursors, 1, epoch="f") == [1]


def test_own_acks_move_the_place_only_where_nothing_is_missing() -> None:
    cursors = Cursors()
    cursors.begin(STREAM, joined(1, None))
    cursors.mark_own(2, "e")
    assert cursors.position(STREAM) == Position(2, "e")
    cursors.mark_own(4, "e")
    cursors.mark_own(3, "another stream")
    assert cursors.position(STREAM) == Position(2, "e")
    assert taken(cursors, 3) == [3]
    assert cursors.position(STREAM) == Position(4, "e")


def test_an_own_ack_completes_a_replay() -> None:
    cursors = Cursors()
    taken(cursors, 5)
    resume(cursors, joined(6, True))
    assert taken(cursors, 8) == []
    assert [envelope["payload"]["n"] for envelope in cursors.mark_own(6, "e")] == [8]


def test_own_acks_ahead_of_a_hole_that_stays_are_bounded() -> None:
    cursor = StreamCursor(Position(0, "e"))
    for sequence in range(2, 1_026):
        cursor.own(sequence)
    assert cursor.sequence == 0
    cursor.own(1_026)
    assert cursor.sequence == 1_026


def test_what_is_held_back_for_a_replay_is_bounded() -> None:
    cursor = StreamCursor(Position(0, "e"))
    cursor.expect(5)
    found = [n for sequence in range(6, 10_007) for n in cursor.take(event(sequence), sequence)]
    assert [envelope["payload"]["n"] for envelope in found] == list(range(6, 10_007))


def test_a_new_epoch_is_told_when_its_beginning_was_missed() -> None:
    cursors = Cursors()
    taken(cursors, 7)
    assert taken(cursors, 1, 2, epoch="f") == [1, 2]
    assert taken(cursors, 5, epoch="g") == [Reset("r:x", "new_epoch", Position(5, "g")), 5]


def test_a_replay_comes_before_live_events_that_overtake_it() -> None:
    cursors = Cursors()
    taken(cursors, 1, 2)
    assert resume(cursors, joined(6, True)) == ([], False)
    assert taken(cursors, 7, 3, 8, 5, 4, 6, 9) == [3, 4, 5, 6, 7, 8, 9]


def test_what_waits_for_a_replay_is_kept_when_another_membership_resumes_the_same_stream() -> None:
    cursors = Cursors()
    taken(cursors, 1)
    resume(cursors, joined(4, True))
    assert taken(cursors, 5, 6) == []
    resume(cursors, joined(4, True))
    assert taken(cursors, 2, 3, 4) == [2, 3, 4, 5, 6]


def test_a_hole_in_the_replay_is_told_and_ends_the_waiting() -> None:
    cursors = Cursors()
    taken(cursors, 1)
    resume(cursors, joined(6, True))
    assert taken(cursors, 2, 7) == [2]
    told = cursors.gap(STREAM)
    assert told == [Reset("r:x", "history_gap", Position(2, "e")), event(7)]
    assert taken(cursors, 8) == [8]
    assert Cursors().gap(STREAM) == [Reset("r:x", "history_gap")]


@pytest.mark.parametrize("recovered", [False, None])
def test_what_was_not_recovered_is_told_and_the_place_is_the_answers(recovered: bool | None) -> None:
    cursors = Cursors()
    taken(cursors, 1)
    answer = joined(9, recovered)
    assert resume(cursors, answer) == ([Reset("r:x", "not_recovered", answer.position)], False)
    assert cursors.position(STREAM) == answer.position


def test_nothing_is_told_when_nothing_was_missed() -> None:
    cursors = Cursors()
    taken(cursors, 4)
    assert resume(cursors, joined(4, False)) == ([], False)


def test_a_new_epoch_is_asked_for_from_its_start() -> None:
    cursors = Cursors()
    taken(cursors, 4)
    start = Position(0, "f")
    assert resume(cursors, joined(3, False, "f")) == ([Reset("r:x", "new_epoch", start)], True)
    assert cursors.since(STREAM) == start
    assert resume(cursors, joined(3, True, "f"), is_last=True) == ([], False)
    assert taken(cursors, 4, 1, 2, 3, epoch="f") == [1, 2, 3, 4]


def test_an_empty_new_epoch_needs_no_second_join() -> None:
    cursors = Cursors()
    taken(cursors, 4)
    assert resume(cursors, joined(0, False, "f")) == ([Reset("r:x", "new_epoch", Position(0, "f"))], False)


def test_a_new_epoch_that_is_not_kept_from_its_start_is_told_and_goes_on_with_what_comes() -> None:
    cursors = Cursors()
    taken(cursors, 4)
    resume(cursors, joined(9, False, "f"))
    start = Position(0, "f")
    assert resume(cursors, joined(9, False, "f"), is_last=True) == ([Reset("r:x", "not_recovered", start)], False)
    assert taken(cursors, 8, 9, 10, epoch="f") == [8, 9, 10]


def test_the_room_wide_position_stands_beside_the_channels_once_there_is_one() -> None:
    cursors, wide = Cursors(), Address("r", "*")
    told = {"x": Position(3, "e"), "*": Position(0, "w")}
    cursors.begin(STREAM, joined(3, None, positions=told))
    assert cursors.since(STREAM) == Position(3, "e")
    cursors.offer(wide, event(1, "w"))
    assert cursors.since(STREAM) == {"x": Position(3, "e"), "*": Position(1, "w")}


def test_room_wide_events_that_nobody_asked_for_are_asked_for() -> None:
    cursors = Cursors()
    cursors.begin(STREAM, joined(3, None, positions={"x": Position(3, "e"), "*": Position(0, "w")}))
    answer = joined(3, True, positions={"x": Position(3, "e"), "*": Position(2, "w")})
    assert resume(cursors, answer) == ([], True)
    assert cursors.since(STREAM) == {"x": Position(3, "e"), "*": Position(0, "w")}


def test_an_empty_room_wide_stream_of_another_epoch_is_no_loss() -> None:
    cursors = Cursors()
    cursors.begin(STREAM, joined(3, None, positions={"x": Position(3, "e"), "*": Position(0, "w")}))
    answer = joined(4, True, positions={"x": Position(4, "e"), "*": Position(0, "v")})
    assert resume(cursors, answer) == ([], False)


def test_the_replay_of_an_unknown_room_wide_stream_belongs_to_the_room() -> None:
    cursors, wide = Cursors(), Address("r", "*")
    assert cursors.offer(wide, event(7, "w", replayed=True), is_own_stream=False) == []
    assert cursors.offer(wide, event(8, "w"), is_own_stream=False) == [event(8, "w")]


def test_a_channel_made_meanwhile_begins_with_what_is_kept() -> None:
    cursors = Cursors()
    room = Address("r", "*")
    cursors.begin(room, Joined("r", "*", Position(0, "w"), 1, None, {"*": Position(0, "w")}))
    told = Joined("r", "*", Position(0, "w"), 1, True, {"x": Position(9, "e"), "*": Position(0, "w")})
    assert cursors.resume(room, told, {"*": Position(0, "w")}, is_last=False) == ([], False)
    assert taken(cursors, 5, 6, 9) == [5, 6, 9]


@pytest.mark.parametrize("seed", range(200))
def test_any_interleaving_of_replay_and_live_gives_each_event_once_in_order(seed: int) -> None:
    draw = random.Random(seed)
    seen, target = draw.randint(0, 5), draw.randint(5, 20)
    live = list(range(target + 1, target + draw.randint(1, 10)))
    cursors = Cursors()
    cursors.seed(STREAM, Position(seen, "e"))
    resume(cursors, joined(target, True))
    # A second membership of the client brings a replay of its own, from another place, and live events early.
    sources = [list(range(seen + 1, target + 1)) + live, list(range(draw.randint(1, target), target + 1)), list(live)]
    found: list[int | Reset] = []
    while any(sources):
        source = draw.choice([source for source in sources if source])
        found += taken(cursors, source.pop(0))
    assert found == list(range(seen + 1, (live or [target])[-1] + 1))
