"""What the benchmarks make of their figures: medians, spreads, trends, and when a soak is flat."""

import random
from typing import Any

import pytest

from benchmarks.figures import medians, percentile, slope, spread
from benchmarks.pages import DOCS, put
from benchmarks.peers.page import plot, table
from benchmarks.peers.suite import beside_best_peer, report
from benchmarks.ssh_peers.page import table as ssh_table
from tools.soak_verdict import Sample, judge

MIB = 1 << 20


def figures(rate: float, results: str = "redis") -> dict[str, Any]:
    modes = ("enqueue", "burn_down", "sustained", "payload_1_kib", "io_10_ms")
    return {
        "version": "1",
        "results": results,
        **{mode: {"per_second": rate, "worker_us": 5.0} for mode in modes},
        "burn_down": {"per_second": rate, "busy_pss_mib": 40.0},
        "idle": {"pss_mib": 30.0, "head_rss_mib": 20.0, "largest_child_pss_mib": 9.0},
        "one_at_a_time": {"p50_ms": 1.0, "p99_ms": 2.0},
    }


def test_medians_go_down_into_nested_figures() -> None:
    """Each figure is the median of its own repetitions, also one that only some of them have."""
    told: list[dict[str, Any]] = [
        {"a": {"x": 1.0}, "who": "b"},
        {"a": {"x": 9.0}},
        {"a": {"x": 2.0, "y": 7}},
    ]
    assert medians(told) == {"a": {"x": 2.0, "y": 7}, "who": "b"}


def test_spread_names_both_ends() -> None:
    """The lowest and the highest; nothing where no repetition has the figure."""
    told = [{"a": {"x": 3}}, {"a": {"x": 1}}, {}]
    assert spread(told, "a", "x") == [1.0, 3.0]
    assert spread(told, "a", "y") == []


def test_percentile_of_few_values_is_one_of_them() -> None:
    """The last share never reaches over the end."""
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert percentile([1.0], 0.99) == 1.0


def test_slope_is_the_growth_for_one() -> None:
    """A straight line gives its own rise; one point gives none."""
    assert slope([(0, 1), (1, 3), (2, 5)]) == 2.0
    assert slope([(4, 1)]) == 0.0


def test_a_ratio_is_to_the_best_peer_that_stores_results() -> None:
    """A peer that keeps no results is no measure, nor is another of ours."""
    subjects = {
        "dts": figures(100.0),
        "dts embedded": figures(900.0),
        "slow": figures(10.0),
        "good": figures(50.0),
        "forgetful": figures(500.0, "not stored"),
    }
    assert beside_best_peer(subjects)["dts"]["burn_down"] == 2.0


def test_the_page_names_what_was_not_measured() -> None:
    """The table has a line for each subject and says why one is missing; the plot has a bar for each."""
    told = report({"dts": [figures(100.0)], "good": [figures(50.0), figures(70.0)]}, {"gone": "no"})
    page = table(told)
    assert "| dts 1 | 100 |" in page
    assert "| good 1 | 60 (50..70) |" in page
    assert "Not measured: gone (no)." in page
    assert plot(told).count("<rect") == 1 + 3 * 2


def soaked(rss: list[float], descriptors: list[int]) -> list[Sample]:
    return [
        Sample("server", minute / 10, int(mib * MIB), int(mib * MIB), count)
        for minute, (mib, count) in enumerate(zip(rss, descriptors, strict=True))
    ]


def test_what_levels_off_is_flat() -> None:
    """Growth in the first half is warming up; noise in the second is no trend."""
    chance = random.Random(7)
    rss = [50 + min(at, 100) * 0.3 + chance.uniform(-1, 1) for at in range(300)]
    verdicts = judge(soaked(rss, [30 + at % 2 for at in range(300)]))
    assert all(each.is_flat for each in verdicts)
    assert {each.what for each in verdicts} == {"rss", "anonymous", "files"}


def test_what_keeps_growing_is_not_flat() -> None:
    """A slow leak shows through noise, in memory and in open files alike."""
    chance = random.Random(7)
    rss = [50 + at * 0.05 + chance.uniform(-1, 1) for at in range(300)]
    verdicts = judge(soaked(rss, [30 + at // 20 for at in range(300)]))
    assert {each.what for each in verdicts if not each.is_flat} == {"rss", "anonymous", "files"}


def test_figures_go_between_their_marks() -> None:
    """Only what stands between the marks is replaced, and a page without them is left alone."""
    assert put("a\n<!-- x -->\nold\n<!-- /x -->\nb", "x", "new") == (
        "a\n<!-- x -->\nnew\n<!-- /x -->\nb"
    )
    with pytest.raises(ValueError, match="no <!-- x -->"):
        put("<!-- /x --> <!-- y -->", "x", "new")


@pytest.mark.parametrize(
    ("name", "page"),
    [("peers", "performance.md"), ("ssh", "performance.md"), ("scale", "scale.md")],
)
def test_the_pages_have_their_marks(name: str, page: str) -> None:
    """The figures of a run find their place."""
    assert "figures" in put((DOCS / page).read_text("utf-8"), name, "figures")


def test_hosts_reached_by_ssh_are_shown_beside_the_peers() -> None:
    """How many times as long as ours each takes, a gap where one was not measured, and why."""

    def told(seconds: float) -> dict[str, float]:
        names = ("cold_seconds", "cold_cpu_seconds", "warm_seconds", "warm_cpu_seconds")
        return dict.fromkeys(names, seconds)

    rate = {"per_second": 8000.0, "near_us_per_call": 60.0, "far_us_per_call": 100.0}
    text = ssh_table(
        {
            "warm_10_rounds": rate,
            "warm_10_streaming": rate,
            "one": {"p50_us": 150.0, "p99_us": 400.0},
            "kept": {"kib_per_host": 60.0, "percent_of_a_core_for_1000": 0.5},
            "behind_a_default_bastion": {"seconds": 5.0, "failed": 0},
            "sizes": {
                "1": {"best": {"dts": told(0.1), "clush": told(0.5)}, "not_measured": {}},
                "10": {"best": {"dts": told(0.1)}, "not_measured": {"clush": "it is not there"}},
            },
        }
    )
    assert "calls/s | 8,000 |" in text
    assert "5.0 s, 0 failed" in text
    assert "| dts | 100.0; 100.0 |" in text
    assert "| clush | 500.0 (5.0); 500.0 | 500.0 (5.0); 500.0 | - | - |" in text
    assert "Not measured with 10: clush (it is not there)." in text
