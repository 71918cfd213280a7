"""Permissions, audit differences, throttling, decoding errors: rules without a store."""

from typing import Any

import pytest

from dts_core.api.decoding import invalid
from dts_core.errors import Forbidden, InvalidInput, Throttled
from dts_core.model import Function, FunctionVersion, Namespace, User
from dts_core.services.access import Caller, Role, check_manage, check_submit
from dts_core.services.admin import difference
from dts_core.services.builtins import Builtins
from dts_core.services.directory import NAMESPACES
from dts_core.services.functions import FUNCTIONS
from dts_core.services.logs import parse_level
from dts_core.services.submission import check_options
from dts_core.services.subscriber import StreamPosition, parse_position
from dts_core.services.throttle import KEYS_MAX, Throttle
from dts_core.services.users import USERS
from dts_core.testing import START, ManualClock
from dts_core.views import SubmitRequest
from tests.support.jobs import make_job


def caller(role: Role, **memberships: str) -> Caller:
    return Caller(user="ann", role=role, memberships=memberships)


@pytest.mark.parametrize(
    ("who", "namespace", "may"),
    [
        (caller(Role.ADMIN), "any", True),
        (caller(Role.ADMIN), "dts", True),
        (caller(Role.OPERATOR), "sample", False),
        (caller(Role.SUBMITTER, sample="submitter"), "sample", True),
        (caller(Role.SUBMITTER, sample="viewer"), "sample", False),
        (caller(Role.VIEWER, sample="admin"), "sample", False),
        (caller(Role.OPERATOR, dts="admin"), "dts", False),
        (caller(Role.SUBMITTER, other="admin"), "sample", False),
    ],
)
def test_submitting_takes_the_role_and_the_membership(
    who: Caller, namespace: str, may: bool
) -> None:
    """Both are needed; namespace dts is the administrators' alone, whatever a membership says."""
    if may:
        check_submit(who, namespace)
    else:
        with pytest.raises(Forbidden, match=r"user ann .*missing"):
            check_submit(who, namespace)


def test_managing_takes_an_administrator_of_all_or_of_the_namespace() -> None:
    """Any other role is told what is missing."""
    check_manage(caller(Role.ADMIN), "team")
    check_manage(caller(Role.SUBMITTER, team="admin"), "team")
    with pytest.raises(Forbidden, match="admin is missing"):
        check_manage(caller(Role.OPERATOR, team="operator"), "team")


def test_a_job_is_seen_by_its_submitter_members_and_administrators() -> None:
    """And stopped by its submitter and by operators, of all or of the namespace."""
    job = make_job(function="team/f", submitter="bob")
    own = make_job(function="team/f", submitter="ann")
    seen = [caller(Role.ADMIN), caller(Role.VIEWER, team="viewer")]
    assert all(who.sees(job) for who in seen)
    assert not caller(Role.OPERATOR, other="admin").sees(job)
    assert caller(Role.SUBMITTER).sees(own)
    assert caller(Role.SUBMITTER).may_cancel(own)
    assert not caller(Role.SUBMITTER, team="submitter").may_cancel(job)
    assert caller(Role.SUBMITTER, team="operator").may_cancel(job)
    assert caller(Role.OPERATOR).may_cancel(job)


def user(**fields: Any) -> User:
    given: dict[str, Any] = {"id": "ann", "created_at": START, "updated_at": START}
    return User(**(given | fields))


def test_a_difference_names_what_changed_and_nothing_else() -> None:
    """Revision and time of change are every write's, so no write tells them."""
    before, after = user(role="viewer", revision=1), user(role="admin", revision=2)
    assert difference(USERS, before, after, b"k") == {"role": ["viewer", "admin"]}
    assert difference(USERS, before, before, b"k") == {}
    made = difference(USERS, None, after, b"k")
    assert made["role"] == [None, "admin"]
    assert difference(USERS, after, None, b"k")["role"] == ["admin", None]


def test_a_secret_is_told_as_a_keyed_hash() -> None:
    """One sees that it changed, or changed back, and not what it is; without the key nobody can test a guess."""
    before, after = user(secret_hash="one"), user(secret_hash="two")
    told = difference(USERS, before, after, b"k")["secret_hash"]
    assert told == difference(USERS, before, after, b"k")["secret_hash"]
    assert told != difference(USERS, before, after, b"other")["secret_hash"]
    assert "one" not in str(told)
    assert len(set(told)) == 2
    assert difference(USERS, None, after, b"k")["secret_hash"][0] is None


def test_versions_are_told_by_their_hashes() -> None:
    """An operation does not repeat documentation and parameters of every version."""
    version = FunctionVersion(hash="a" * 64, author="ann", created_at=START, doc="long " * 1000)
    function = Function(
        id="s/f", namespace="s", name="f", owner="ann", default="a" * 64, versions=[version],
        created_at=START, updated_at=START,
    )  # fmt: skip
    assert difference(FUNCTIONS, None, function, b"k")["versions"] == [None, {"a" * 12: ""}]


def test_nested_fields_are_compared_by_value() -> None:
    """A map that was written anew with the same content is no change."""
    given: dict[str, Any] = {"id": "n", "created_at": START, "updated_at": START}
    before, after = (
        Namespace(**given, members={"a": "admin"}),
        Namespace(**given, members={"a": "admin"}),
    )
    assert difference(NAMESPACES, before, after, b"k") == {}


def test_a_throttle_counts_in_a_sliding_minute() -> None:
    """The limit holds in any sixty seconds, for each key by itself, and the wait is told."""
    clock = ManualClock()
    throttle = Throttle(clock, 2)
    throttle.check("a", "tries")
    clock.advance(30)
    throttle.check("a", "tries")
    throttle.check("b", "tries")
    with pytest.raises(Throttled) as caught:
        throttle.check("a", "tries")
    assert caught.value.retry_after_seconds == 30
    clock.advance(30)
    throttle.check("a", "tries")
    assert throttle.admit("a") is False
    throttle.forget("a")
    assert throttle.admit("a") is True


def test_a_throttle_remembers_a_bounded_number_of_keys() -> None:
    """Asking under ever new names does not grow the memory."""
    throttle = Throttle(ManualClock(), 1)
    for number in range(KEYS_MAX + 50):
        throttle.admit(f"k{number}")
    assert len(throttle._tries) <= KEYS_MAX


@pytest.mark.parametrize(
    ("told", "fields"),
    [
        ("Expected `int`, got `str` - at `$.jobs[3].priority`", {"jobs[3].priority": "Expected `int`, got `str`"}),
        ("Object contains unknown field `colour`", {"colour": "unknown field"}),
        ("Object missing required field `user`", {"user": "required"}),
        ("Object contains unknown field `x` - at `$.jobs[0]`", {"jobs[0].x": "unknown field"}),
        ("Expected `object`, got `array`", {"body": "Expected `object`, got `array`"}),
        ("Object contains unknown field `\x1b[2J`", {"\\x1b[2J": "unknown field"}),
    ],
)  # fmt: skip
def test_a_decoding_error_names_its_field(told: str, fields: dict[str, str]) -> None:
    """The place becomes the field, the rest the reason, all of it printable."""
    assert invalid("the request does not fit", told).fields == fields


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"priority": -1}, "priority"),
        ({"timeout_seconds": -0.1}, "timeout_seconds"),
        ({"timeout_seconds": float("nan")}, "timeout_seconds"),
        ({"grace_seconds": 3601}, "grace_seconds"),
        ({"retries": 101}, "retries"),
        ({"backoff_seconds": 4000}, "backoff_seconds"),
        ({"delay_seconds": 1e12}, "delay_seconds"),
        ({"expires_seconds": -1}, "expires_seconds"),
        ({"queue": "Big Queue"}, "queue"),
        ({"queue": "host.h1"}, "queue"),
        ({"host": "../h"}, "host"),
        ({"start_at": START, "delay_seconds": 1}, "start_at"),
    ],
)
def test_options_have_bounds(options: dict[str, Any], field: str) -> None:
    """Each option out of its bounds is named."""
    with pytest.raises(InvalidInput) as caught:
        check_options(SubmitRequest(function="s/f", **options))
    assert field in caught.value.fields


def test_levels_have_names_and_numbers() -> None:
    """As in logging; anything else is refused."""
    assert [parse_level(text) for text in ("", "warning", "ERROR", "35")] == [0, 30, 40, 35]
    for text in ("loud", "-1", "1000", "٣"):
        with pytest.raises(InvalidInput):
            parse_level(text)


def test_a_stream_position_is_written_and_read() -> None:
    """Two counters, nothing else."""
    assert parse_position(str(StreamPosition(12, 34))) == StreamPosition(12, 34)
    assert parse_position("") is None
    for text in ("12", "a-b", "1-", "-1-2", "1-2-3", "9" * 30 + "-1", "²-1"):
        with pytest.raises(InvalidInput):
            parse_position(text)


async def test_plugins_are_found_by_their_dotted_name(tmp_path: Any) -> None:
    """dts/plugin.NAME is NAME.py in the plugins folder; a name leads nowhere else."""
    folder = tmp_path / "plugins"
    (folder / "team").mkdir(parents=True)
    (folder / "hello.py").write_text("def main(name: str): return name\n")
    (folder / "team" / "tool.py").write_text("async def main(): pass\n")
    (folder / "broken.py").write_text("def main(:\n")
    (tmp_path / "outside.py").write_text("def main(): pass\n")
    builtins = Builtins(shipped=tmp_path / "shipped", plugins=folder)
    hello, tool = await builtins.read("plugin.hello"), await builtins.read("plugin.team.tool")
    assert hello is not None
    assert [each.name for each in hello.parameters] == ["name"]
    assert tool is not None
    assert tool.is_async
    for name in ("plugin.broken", "plugin.nothing", "plugin.", "hello", "outside"):
        assert await builtins.read(name) is None
    assert await Builtins(plugins=None).read("plugin.hello") is None
