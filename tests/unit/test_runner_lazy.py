"""What a child loads late works as if it had been there: JSON, logging, warnings, threads, lines of tracebacks."""

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dts_core.children import Children, ChildrenSettings, EndKind
from dts_core.runner import values
from dts_core.runner.later import when_imported
from tests.support.calls import Heard, call_of

texts = st.text(st.characters(exclude_categories=["Cs"]))
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
WARNS = """
import sys
def main(more):
    early = "logging" in sys.modules
    import warnings
    warnings.warn("first of all")
    with warnings.catch_warnings():
        warnings.warn("within")
    if more:
        import logging
        logging.getLogger("lib").error("logged")
    warnings.warn("last of all")
    return early
"""


def _encoded(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _outcome(loads: Callable[[bytes], Any], data: bytes) -> str:
    try:
        return repr(loads(data))
    except ValueError as error:
        return f"refused: {error}"


@given(plain)
def test_json_is_that_of_the_library(value: Any) -> None:
    """The same bytes and the same values."""
    assert values.dumps(value) == _encoded(value)
    assert values.loads(values.dumps(value)) == json.loads(_encoded(value))


@given(st.text(alphabet='[]{}",:0123456789.eE+-truefalsn NI\\u"', max_size=20))
def test_what_is_no_json_is_refused_as_the_library_does(text: str) -> None:
    """Any bytes give the library's value or its error."""
    assert _outcome(values.loads, text.encode()) == _outcome(json.loads, text.encode())


@pytest.mark.parametrize(
    "value", [math.nan, [math.inf], {1, 2}, {(1,): 2}, b"x", "\ud800", ["\ud800"]]
)
def test_what_json_cannot_say_is_refused(value: Any) -> None:
    """By the same kinds of error."""
    with pytest.raises((TypeError, ValueError)):
        values.dumps(value)


def test_a_value_within_itself_is_refused() -> None:
    """No endless descent."""
    value: list[Any] = []
    value.append(value)
    with pytest.raises(ValueError, match="Circular"):
        values.dumps(value)


def test_an_import_is_followed_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The action sees the module finished, comes once, and leaves the module's own loader in its place."""
    name = "dts_test_later_module"
    (tmp_path / f"{name}.py").write_text("value = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    seen: list[int] = []
    when_imported(name, lambda: seen.append(sys.modules[name].value))
    try:
        assert seen == []
        module = __import__(name)
        assert seen == [1]
        assert type(module.__loader__).__name__ == "SourceFileLoader"
        assert module.__spec__ is not None
        assert module.__spec__.loader is module.__loader__
        del sys.modules[name]
        __import__(name)
        assert seen == [1]
    finally:
        sys.modules.pop(name, None)


def test_what_is_there_already_is_not_waited_for() -> None:
    """The action comes before the call returns."""
    seen: list[str] = []
    when_imported("json", lambda: seen.append("now"))
    assert seen == ["now"]


@pytest.mark.parametrize("more", [False, True])
async def test_warnings_become_lines_of_the_job(more: bool) -> None:
    """Also the first one, which finds no `logging`, and those behind a `catch_warnings`."""
    async with Children(ChildrenSettings(slots=1)) as pool:
        heard = Heard()
        ended = await pool.run(call_of(WARNS, more), on_log=heard.on_log)
        assert ended.kind is EndKind.RETURNED, ended.error
        assert ended.result == b"false"
        told = [(level, text) for level, text in heard.lines if "UserWarning" in text]
        assert [level for level, _ in told] == [30, 30, 30]
        for (_, text), words in zip(told, ("first of all", "within", "last of all"), strict=True):
            assert words in text
        assert ((40, "lib: logged") in heard.lines) == more


async def test_threads_and_tracebacks_know_their_job() -> None:
    """A thread's print belongs to the job, and a traceback shows the lines of the function."""
    source = """
        import threading
        def main():
            thread = threading.Thread(target=print, args=("from a thread",))
            thread.start()
            thread.join()
            raise ValueError("the end")  # shown
        """
    async with Children(ChildrenSettings(slots=1)) as pool:
        heard = Heard()
        ended = await pool.run(call_of(source), on_log=heard.on_log)
        assert heard.lines == [(20, "from a thread")]
        assert ended.error is not None
        assert 'raise ValueError("the end")  # shown' in ended.error.traceback
