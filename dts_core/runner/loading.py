"""Source to module, by content hash; several versions of a function live side by side."""

import sys
from types import CodeType, ModuleType
from typing import Any

from dts_core.runner.outcome import LoadFailed

_AWAITS = ("GET_AWAITABLE", "GET_AITER", "GET_ANEXT", "BEFORE_ASYNC_WITH")


class Loaded:
    """One version, imported."""

    __slots__ = ("filename", "main", "module_name", "suspends")

    def __init__(self, main: Any, filename: str, module_name: str) -> None:
        self.main = main
        self.filename = filename
        self.module_name = module_name
        self.suspends = _may_suspend(main)


class Modules:
    """Versions by hash. The worker says what is kept: `take` and `forget` are its orders."""

    def __init__(self) -> None:
        self._sources: dict[str, tuple[str, bytes]] = {}
        self._loaded: dict[str, Loaded] = {}
        self._failed: dict[str, LoadFailed] = {}

    def take(self, content_hash: str, function: str, source: bytes) -> None:
        """Keep a version's source until it is asked for."""
        self._sources[content_hash] = (function, source)

    def forget(self, content_hash: str) -> None:
        """Drop a version; jobs that run it keep what they hold."""
        self._sources.pop(content_hash, None)
        self._failed.pop(content_hash, None)
        loaded = self._loaded.pop(content_hash, None)
        if loaded is not None:
            sys.modules.pop(loaded.module_name, None)
            _linecache().pop(loaded.filename, None)

    def load(self, content_hash: str) -> Loaded:
        """The version, imported at its first use.

        Raises:
            LoadFailed: It does not compile or import, or has no `main`. The same answer comes each time.
        """
        loaded = self._loaded.get(content_hash)
        if loaded is not None:
            return loaded
        failed = self._failed.get(content_hash)
        if failed is not None:
            raise failed.with_traceback(None)
        try:
            loaded = self._import(content_hash)
        except LoadFailed as error:
            self._failed[content_hash] = error
            raise
        self._loaded[content_hash] = loaded
        return loaded

    def _import(self, content_hash: str) -> Loaded:
        if content_hash not in self._sources:
            raise LoadFailed(f"the source of version {content_hash[:12]} is not here")
        function, source = self._sources[content_hash]
        namespace, _, name = function.partition("/")
        short = content_hash[:8]
        filename = f"{function}@{short}.py"
        module = ModuleType(f"dts_functions.{namespace}.{name}.{short}")
        module.__file__ = filename
        _remember_lines(filename, source)
        sys.modules[module.__name__] = module
        try:
            code = compile(source, filename, "exec", dont_inherit=True)
            exec(code, module.__dict__)  # noqa: S102 - running user code is what this process is for
        except BaseException as error:
            sys.modules.pop(module.__name__, None)
            why = f"{type(error).__name__}: {_short(error)}"
            raise LoadFailed(f"{function} does not import: {why}") from error
        main = getattr(module, "main", None)
        if not callable(main):
            sys.modules.pop(module.__name__, None)
            raise LoadFailed(f"{function} has no function `main`")
        return Loaded(main, filename, module.__name__)


def _short(error: BaseException) -> str:
    try:
        return str(error)[:300]
    except BaseException:  # noqa: BLE001 - `__str__` is user code
        return "?"


def _linecache() -> dict[str, Any]:
    import linecache

    cache: dict[str, Any] = linecache.cache
    return cache


def _remember_lines(filename: str, source: bytes) -> None:
    """Let tracebacks show the source; without a modification time the entry is never checked against a file."""
    text = source.decode("utf-8", "replace")
    lines = text.splitlines(True)
    _linecache()[filename] = (len(text), None, lines, filename)


def _may_suspend(main: Any) -> bool:
    """Whether a coroutine function could wait for something: if not, one step ends it and no Task is needed."""
    code = getattr(main, "__code__", None)
    if not isinstance(code, CodeType):
        return True
    import dis

    wanted = {dis.opmap[name] for name in _AWAITS if name in dis.opmap}
    return any(operation in wanted for operation in code.co_code[::2])
