"""The state machine's table: the properties that every promise rests on."""

import pytest

from dts_core.states import FENCED, FINAL, HELD, TRANSITIONS, JobEvent, JobState, WorkerEvent, after
from dts_core.stores.embedded.moves import MOVES


def reachable(start: JobState) -> set[JobState]:
    found, todo = set[JobState](), [start]
    while todo:
        state = todo.pop()
        if state not in found:
            found.add(state)
            todo += [next_ for event in JobEvent if (next_ := after(event, state)) is not None]
    return found


def test_every_event_is_in_the_table() -> None:
    """None is forgotten, none leads nowhere."""
    assert set(TRANSITIONS) == set(JobEvent)
    assert all(TRANSITIONS.values())


@pytest.mark.parametrize("state", sorted(FINAL))
def test_nothing_leaves_a_final_state(state: JobState) -> None:
    """What is over stays over."""
    assert [event for event in JobEvent if after(event, state) is not None] == []


@pytest.mark.parametrize("state", sorted(set(JobState) - FINAL))
def test_every_other_state_leads_to_an_end(state: JobState) -> None:
    """No job can be stuck where no event helps, and each can still be done or be cancelled."""
    assert FINAL & reachable(state)
    assert JobState.CANCELLED in reachable(state)


def test_every_state_is_reached_from_a_submission() -> None:
    """No state is dead wood."""
    assert reachable(JobState.SCHEDULED) | reachable(JobState.PENDING) == set(JobState)


def test_only_a_claim_makes_a_job_run() -> None:
    """A job runs on no other word."""
    ways = [
        (event, before)
        for event, moves in TRANSITIONS.items()
        for before, state in moves.items()
        if state is JobState.RUNNING
    ]
    assert ways == [(JobEvent.CLAIM, JobState.QUEUED)]


def test_what_is_cancelled_never_runs_again() -> None:
    """From `cancelling` on there is no way back to the queue."""
    assert reachable(JobState.CANCELLING) & {JobState.QUEUED, JobState.RUNNING} == set()


@pytest.mark.parametrize("state", sorted(set(JobState) - FINAL - {JobState.CANCELLING}))
def test_a_person_s_cancel_counts_wherever_a_job_is_not_over(state: JobState) -> None:
    """At once where nobody runs it, by its worker where somebody does."""
    running = state is JobState.RUNNING
    ended = JobState.CANCELLING if running else JobState.CANCELLED
    assert after(JobEvent.CANCEL, state) is ended


def test_all_that_a_worker_says_is_fenced() -> None:
    """Whatever ends or returns a held claim by its worker's word needs that claim's epoch."""
    by_worker = {JobEvent.FINISH, JobEvent.FAIL, JobEvent.RETRY, JobEvent.CONFIRM_CANCEL}
    assert by_worker | {JobEvent.GIVE_BACK, JobEvent.LOSE} == FENCED
    for event in FENCED:
        assert set(TRANSITIONS[event]) <= HELD


def test_the_numbers_of_worker_events_are_fixed() -> None:
    """They are on the wire for ever."""
    assert (WorkerEvent.RECV, WorkerEvent.FAIL, WorkerEvent.DONE) == (1, 2, 3)


def test_the_embedded_store_has_a_statement_for_each_cell_and_no_other() -> None:
    """The store's statements are made from the table."""
    cells = {(event, state) for event, moves in TRANSITIONS.items() for state in moves}
    assert cells == {(event, JobState(state)) for event, moves in MOVES.items() for state in moves}
    for event, moves in MOVES.items():
        for state, move in moves.items():
            assert move.after is after(event, JobState(state))
            assert "AND state=? AND epoch=?" in move.sql


def test_the_table_cannot_be_changed() -> None:
    """It is the same for everybody, for the life of the process."""
    with pytest.raises(TypeError):
        TRANSITIONS[JobEvent.CLAIM][JobState.DONE] = JobState.RUNNING  # type: ignore[index]
