"""The clients: one description, two forms; what is retried, what is told, where the server is found."""

import inspect
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from dts_core.clients import (
    AdminClient,
    Client,
    SyncAdminClient,
    SyncClient,
    calls,
    submission,
    transport,
)
from dts_core.clients.client import JobCalls
from dts_core.clients.collections import CollectionCalls, FunctionWrites
from dts_core.clients.endpoint import (
    Context,
    Contexts,
    find_endpoint,
    local_endpoint,
    read_contexts,
    remove_context,
    rename_context,
    write_contexts,
)
from dts_core.clients.stream import EventParser
from dts_core.errors import ApiError, ConfigError, InvalidInput, ServerUnreachable

Handler = Callable[[httpx.Request], httpx.Response]
JOB = {
    "id": "01X",
    "function": "sample/echo",
    "version": "ab",
    "state": "done",
    "submitter": "ann",
    "created_at": "2026-01-01T00:00:00Z",
    "result": {"a": [1, None]},
}


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries wait no time in tests."""
    monkeypatch.setattr(transport, "pause", lambda tried: 0.0)


async def ask(handler: Handler, what: Callable[[Any], Any], *, blocking: bool) -> Any:
    """Make the same call through the client of either form."""
    if blocking:
        with SyncAdminClient(
            "http://s", "tok", http_transport=httpx.MockTransport(handler)
        ) as client:
            return what(client)
    async with AdminClient(
        "http://s", "tok", http_transport=httpx.MockTransport(handler)
    ) as client:
        return await what(client)


both = pytest.mark.parametrize("blocking", [False, True], ids=["async", "sync"])


@both
async def test_submit_sends_token_key_and_body(blocking: bool) -> None:
    """A submission carries the token, a key of its own, and only the options that were given."""
    seen: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(201, json=JOB)

    job = await ask(
        handler, lambda c: c.submit("sample/echo", args=[1], retries=2), blocking=blocking
    )
    assert job.result == {"a": [1, None]}
    assert seen[0].headers["Authorization"] == "Bearer tok"
    assert len(seen[0].headers["Idempotency-Key"]) == 26
    assert json.loads(seen[0].content) == {
        "function": "sample/echo",
        "args": [1],
        "kwargs": {},
        "retries": 2,
    }


@both
@pytest.mark.parametrize("status", [502, 503, 504])
async def test_a_passing_failure_of_a_submission_is_retried_with_the_same_key(
    blocking: bool, status: int
) -> None:
    """What carries an idempotency key is sent again with that key."""
    keys: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        keys.append(request.headers["Idempotency-Key"])
        return httpx.Response(201, json=JOB) if len(keys) == 3 else httpx.Response(status)

    await ask(handler, lambda c: c.submit("sample/echo"), blocking=blocking)
    assert len(keys) == 3
    assert len(set(keys)) == 1


@both
async def test_a_refusal_that_took_long_is_heard_at_once(
    blocking: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server has tried for us: a command does not ask three more times for as long."""
    monkeypatch.setattr(transport, "WAITED_SECONDS", -1.0)
    sent = 0

    def handler(request: httpx.Request) -> httpx.Response:
        nonlocal sent
        sent += 1
        return httpx.Response(503, json={"detail": "RabbitMQ is away.", "status": 503})

    with pytest.raises(ApiError, match="RabbitMQ is away"):
        await ask(handler, lambda c: c.submit("sample/echo"), blocking=blocking)
    assert sent == 1


@both
async def test_a_write_without_key_is_not_repeated_once_it_left(blocking: bool) -> None:
    """A write whose answer was lost is not sent twice."""
    sent = 0

    def handler(request: httpx.Request) -> httpx.Response:
        nonlocal sent
        sent += 1
        raise httpx.ReadTimeout("slow", request=request)

    with pytest.raises(ServerUnreachable, match="did not answer in time"):
        await ask(handler, lambda c: c.cancel(["01X"]), blocking=blocking)
    assert sent == 1


@both
async def test_connection_refused_is_tried_again_and_then_told(blocking: bool) -> None:
    """What never left is always tried again, up to the limit; then the error names the server."""
    sent = 0

    def handler(request: httpx.Request) -> httpx.Response:
        nonlocal sent
        sent += 1
        raise httpx.ConnectError("refused", request=request)

    with pytest.raises(ServerUnreachable, match="http://s cannot be reached"):
        await ask(handler, lambda c: c.cancel(["01X"]), blocking=blocking)
    assert sent == transport.TRIES


@both
async def test_a_refusal_carries_status_code_fields_and_advice_inert(blocking: bool) -> None:
    """A problem answer becomes an ApiError whose text no terminal obeys."""
    told = {
        "detail": "args do not \x1b[2Jfit.",
        "code": "invalid",
        "advice": "See `dts functions show`.",
        "fields": {"path": "missing\u202e"},
    }

    def handler(request: httpx.Request) -> httpx.Response:
        return httpx.Response(422, json=told)

    with pytest.raises(ApiError) as caught:
        await ask(handler, lambda c: c.submit("sample/echo"), blocking=blocking)
    error = caught.value
    assert (error.answer_status, error.answer_code) == (422, "invalid")
    assert error.fields == {"path": "missing\\u202e"}
    assert "\x1b" not in str(error)
    assert str(error).endswith("See `dts functions show`.")


@both
@pytest.mark.parametrize("content", [b"<html>", b"\xff", b"[" * 100_000, b"{}"])
async def test_an_answer_that_is_no_answer_is_an_api_error(blocking: bool, content: bytes) -> None:
    """Whatever another server says, the caller gets an ApiError."""
    with pytest.raises(ApiError, match="not what was asked for"):
        await ask(
            lambda request: httpx.Response(200, content=content),
            lambda c: c.job("01X"),
            blocking=blocking,
        )


@both
async def test_wait_for_polls_until_the_end(blocking: bool) -> None:
    """Waiting is a conversation of long polls that ends with the final state."""
    states = ["queued", "running", "done"]
    waits: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        waits.append(request.url.params["wait"])
        return httpx.Response(200, json=JOB | {"state": states[len(waits) - 1]})

    job = await ask(handler, lambda c: c.wait_for("01X"), blocking=blocking)
    assert job.state == "done"
    assert waits == ["30.0", "30.0", "30.0"]


@both
async def test_wait_for_passes_a_refusal_on(blocking: bool) -> None:
    """An error inside a conversation reaches the caller."""
    with pytest.raises(ApiError, match="no such job"):
        await ask(
            lambda request: httpx.Response(404, json={"detail": "no such job"}),
            lambda c: c.wait_for("01X"),
            blocking=blocking,
        )


@both
async def test_collections_and_functions_have_their_paths(blocking: bool) -> None:
    """Groups address their own collection; a function's id becomes two path parts."""
    paths: list[str] = []
    written = {"operation": "create", "_id": "x", "revision": 1}

    def handler(request: httpx.Request) -> httpx.Response:
        paths.append(f"{request.method} {request.url.path}")
        return httpx.Response(200, json=written)

    await ask(handler, lambda c: c.users.add("ann", role="viewer", secret="s"), blocking=blocking)
    await ask(handler, lambda c: c.namespaces.delete("etl"), blocking=blocking)
    await ask(
        handler, lambda c: c.functions.update("a/b", revision=1, source=""), blocking=blocking
    )
    assert paths == [
        "POST /admin/users",
        "DELETE /admin/namespaces/etl",
        "PATCH /admin/functions/a/b",
    ]
    with pytest.raises(InvalidInput):
        await ask(handler, lambda c: c.functions.delete("../users"), blocking=blocking)


def test_both_forms_offer_the_same_calls() -> None:
    """There is no call that only one of the two clients has, save a shell: bytes both ways at once block nowhere."""
    for described in (JobCalls, FunctionWrites, CollectionCalls):
        names = [name for name in vars(described) if not name.startswith("_")]
        assert names
    for asynchronous, blocking in ((Client, SyncClient), (AdminClient, SyncAdminClient)):
        public = {name for name in dir(asynchronous) if not name.startswith("_")}
        public -= {"send", "shell"}
        assert public == {name for name in dir(blocking) if not name.startswith("_")} - {
            "send_blocking"
        }
    with SyncClient("http://s") as client:
        assert "idempotent" in (inspect.getdoc(client.submit) or "")


def test_submission_leaves_defaults_out() -> None:
    """Only what differs from the default is sent."""
    assert submission("a/b", kwargs={"x": 1}, priority=3) == {
        "function": "a/b",
        "args": [],
        "kwargs": {"x": 1},
        "priority": 3,
    }


def test_event_parser_follows_the_standard() -> None:
    """Comments are passed over, data lines joined, ids kept, an incomplete event forgotten at a cut."""
    parser = EventParser()
    lines = [": keep-alive", "", "event: jobs", "id: 7", 'data: {"a":', "data: 1}", ""]
    events = [event for line in lines if (event := parser.feed(line))]
    assert [(event.topic, event.id, event.data) for event in events] == [("jobs", "7", {"a": 1})]
    parser.feed("id: 8")
    parser.feed("data: 1")
    parser.cut()
    assert parser.feed("") is None
    assert parser.last_id == "7"
    assert [parser.feed(line) for line in ("data: {broken", "")] == [None, None]


async def test_stream_resumes_behind_the_last_event() -> None:
    """After a cut the stream asks for what follows the last id it saw, and tells both states."""
    asked: list[str | None] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request.headers.get("Last-Event-ID"))
        return httpx.Response(200, text=f"event: jobs\nid: {len(asked)}\ndata: {len(asked)}\n\n")

    async with Client("http://s", http_transport=httpx.MockTransport(handler)) as client:
        seen = []
        async for event in client.stream(["jobs"]):
            seen.append(
                (event.topic, event.data if event.topic == "jobs" else event.data["connected"])
            )
            if len(asked) == 2 and event.topic == "jobs":
                break
    assert seen == [("_state", True), ("jobs", 1), ("_state", False), ("_state", True), ("jobs", 2)]
    assert asked == [None, "1"]


async def test_stream_gives_up_when_it_is_refused() -> None:
    """A refusal that trying again cannot cure ends the stream with its reason."""

    def handler(request: httpx.Request) -> httpx.Response:
        return httpx.Response(401, json={"detail": "token expired"})

    async with Client("http://s", http_transport=httpx.MockTransport(handler)) as client:
        with pytest.raises(ApiError, match="token expired"):
            async for _ in client.stream(["jobs"]):
                pass


def _publish(folder: Path, url: str) -> None:
    (folder / "endpoint.json").write_bytes(msgspec.json.encode({"url": url, "pid": os.getpid()}))
    (folder / "admin.json").write_bytes(
        msgspec.json.encode({"user": "admin", "secret": "s", "token": "local-token"})
    )


def test_endpoint_of_a_data_folder(tmp_path: Path) -> None:
    """A data folder tells the address and the local credentials; the token is not in its printed form."""
    _publish(tmp_path, "http://127.0.0.1:7117")
    found = find_endpoint(data=str(tmp_path))
    assert (found.url, found.user, found.token) == ("http://127.0.0.1:7117", "admin", "local-token")
    assert "local-token" not in repr(found)
    with pytest.raises(ConfigError, match="no server runs on the data folder"):
        local_endpoint(tmp_path / "other")


def test_endpoint_of_a_killed_stack_is_none(tmp_path: Path) -> None:
    """Another process may have its port by now: the token is not taken there."""
    _publish(tmp_path, "http://127.0.0.1:7117")
    ended = subprocess.Popen(["true"])
    ended.wait(60)
    told = {"url": "http://127.0.0.1:7117", "pid": ended.pid}
    (tmp_path / "endpoint.json").write_bytes(msgspec.json.encode(told))
    with pytest.raises(ConfigError, match="no server runs on the data folder"):
        local_endpoint(tmp_path)


def test_local_token_never_goes_to_another_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An address given by hand gets the local token only when it is the local address."""
    data = tmp_path / "data" / "dts"
    data.mkdir(parents=True)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    _publish(data, "http://127.0.0.1:7117")
    assert find_endpoint(url="http://127.0.0.1:7117/", environ={}).token == "local-token"
    assert find_endpoint(url="http://evil.example:7117", environ={}).token == ""


def test_flags_go_before_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flag silences the variables of the other ways."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    _publish(tmp_path, "http://127.0.0.1:1")
    environ = {"DTS_URL": "http://other:1", "DTS_TOKEN": "t"}
    assert find_endpoint(data=str(tmp_path), environ=environ).url == "http://127.0.0.1:1"
    assert find_endpoint(environ=environ).token == "t"


def test_contexts_are_private_and_survive_a_round_trip(tmp_path: Path) -> None:
    """The contexts file is readable by its owner only; a broken one is a clear error."""
    file = tmp_path / "sub" / "contexts.json"
    known = Contexts(current="a", contexts={"a": Context(url="http://s", user="u", token="secret")})
    write_contexts(known, file)
    assert file.stat().st_mode & 0o777 == 0o600
    assert read_contexts(file) == known
    assert "secret" not in repr(known)
    file.write_text("{")
    with pytest.raises(ConfigError, match="log in again"):
        read_contexts(file)


@pytest.mark.parametrize("job", ["../admin/users", "a/b?wait=60#x", "\x1b]0;x\x07\ud800", "a b"])
def test_an_id_stays_one_segment_of_the_path(job: str) -> None:
    """Whatever an id holds, the request goes to that id, and to no other path."""
    path = calls.job(job).path
    with httpx.Client(base_url="http://127.0.0.1:1") as http:
        built = transport.build(http, calls.job(job), "").url
    assert path.startswith("/jobs/")
    assert "/" not in path.removeprefix("/jobs/")
    assert built.raw_path.decode("ascii") == path
    assert built.path.startswith("/jobs/")


@pytest.mark.parametrize("wrong", ["", ".", ".."])
def test_an_id_that_means_another_path_is_refused(wrong: str) -> None:
    """Dots and nothing are no ids."""
    with pytest.raises(InvalidInput):
        calls.delete_document("users", wrong)


def test_text_that_no_request_can_carry_is_refused() -> None:
    """Lone surrogates in a body, and keys that no header holds, are told as input that does not fit."""
    with pytest.raises(InvalidInput):
        calls.submit("sample/noop", args=["\ud800"])
    with (
        httpx.Client(base_url="http://127.0.0.1:1") as http,
        pytest.raises(InvalidInput),
    ):
        transport.build(http, calls.submit("sample/noop", key="\u20ac"), "")


@pytest.mark.parametrize(
    "url", ["", "x", "ftp://x", "http://", "http://x\x1b]0;y\x07", "http://x:port", "http://\ud800"]
)
def test_what_is_no_address_is_told(url: str) -> None:
    """In one line, by every client, before anything is sent."""
    for kind in (Client, SyncClient):
        with pytest.raises(ConfigError, match="no address"):
            kind(url)


def test_contexts_are_renamed_and_removed() -> None:
    """The current one stays so under its new name, in its place; without it there is none; mistakes are told."""
    here, there = (Context(url=f"http://{name}", user="ann", token="t") for name in "ab")
    known = Contexts(current="one", contexts={"one": here, "two": there})
    for wrong in ("two", "", " "):
        with pytest.raises(ConfigError):
            rename_context(known, "one", wrong)
    with pytest.raises(ConfigError, match="known: one, two"):
        rename_context(known, "three", "four")
    rename_context(known, "one", "prod")
    assert known == Contexts(current="prod", contexts={"prod": here, "two": there})
    assert remove_context(known, "two") == there
    assert remove_context(known, "prod") == here
    assert known == Contexts()
    with pytest.raises(ConfigError, match="known: none"):
        remove_context(known, "prod")
