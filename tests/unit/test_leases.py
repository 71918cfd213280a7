"""Leases: the control side doubts itself before it doubts a worker."""

from datetime import timedelta

from dts_core.services.leases import Leases
from dts_core.testing import START, ManualClock

LENGTH = timedelta(seconds=10)


def attentive(clock: ManualClock, leases: Leases, seconds: int) -> None:
    """Let time pass while somebody looks every second."""
    for _ in range(seconds):
        clock.advance(1)
        leases.horizon()


def settled() -> tuple[ManualClock, Leases]:
    clock = ManualClock()
    leases = Leases(clock, LENGTH)
    attentive(clock, leases, 10)
    return clock, leases


def test_nothing_is_over_in_the_first_window() -> None:
    """After a start everybody has one whole length to be heard; from then on the clock counts."""
    clock = ManualClock()
    leases = Leases(clock, LENGTH)
    attentive(clock, leases, 9)
    assert leases.horizon() < START - timedelta(days=365)
    assert leases.seconds_left(START - timedelta(days=1)) == 1.0
    attentive(clock, leases, 1)
    assert leases.horizon() == clock.now()


def test_a_pause_of_our_own_ends_no_lease() -> None:
    """What ended while we stood still gets a whole length more; what had ended before is over."""
    clock, leases = settled()
    before = clock.now()
    clock.advance(25)
    assert leases.horizon() == before
    assert leases.seconds_left(before + timedelta(seconds=5)) == 10.0
    assert leases.seconds_left(before - timedelta(seconds=1)) == 0.0
    attentive(clock, leases, 9)
    assert leases.horizon() == before
    attentive(clock, leases, 1)
    assert leases.horizon() == clock.now()


def test_a_second_pause_within_the_doubt_prolongs_it() -> None:
    """Pauses that follow each other count from the first one's begin to a length after the last one's end."""
    clock, leases = settled()
    before = clock.now()
    for _ in range(3):
        clock.advance(8)
        assert leases.horizon() == before
    attentive(clock, leases, 9)
    assert leases.horizon() == before
    attentive(clock, leases, 1)
    assert leases.horizon() == clock.now()


def test_a_wall_clock_that_jumps_ahead_is_a_pause() -> None:
    """A host that slept, or a time server: no lease ends by that; a step back is no pause."""
    clock, leases = settled()
    before = clock.now()
    clock.step(3600)
    assert leases.horizon() == before
    attentive(clock, leases, 10)
    clock.step(-1800)
    assert leases.horizon() == clock.now()


def test_a_pause_is_numbered_while_it_casts_doubt() -> None:
    """Whoever lived through it can tell it from an earlier one; a start is none."""
    clock = ManualClock()
    leases = Leases(clock, LENGTH)
    assert leases.doubted_pause() == 0
    attentive(clock, leases, 10)
    for number in (1, 2):
        clock.advance(20)
        assert leases.doubted_pause() == number
        attentive(clock, leases, 10)
        assert leases.doubted_pause() == 0


def test_what_could_not_be_written_ends_no_lease() -> None:
    """While renewals fail, and a whole length after the last one that did, the leases of before stand."""
    clock, leases = settled()
    before = clock.now()
    for _ in range(20):
        leases.doubt()
        attentive(clock, leases, 1)
    attentive(clock, leases, 8)
    assert leases.horizon() == before
    assert leases.doubted_pause() == 0
    attentive(clock, leases, 1)
    assert leases.horizon() == clock.now()
