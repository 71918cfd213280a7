"""Source to module, by content hash; several versions of a function live side by side."""

from __future__ import annotations

import sys

from dts_core.runner.frames import BUNDLE
from dts_core.runner.later import when_imported
from dts_core.runner.outcome import LoadFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import ModuleType
    from typing import Any

_AWAITS = ("GET_AWAITABLE", "GET_AITER", "GET_ANEXT", "BEFORE_ASYNC_WITH")


class Loaded:
    """One version, imported."""

    __slots__ = ("_forget", "_suspends", "filenames", "main")

    def __init__(self, filenames: Iterable[str], forget: Callable[[], object]) -> None:
        self.main: Any = None
        self.filenames = list(filenames)
        self._suspends: bool | None = None
        self._forget = forget

    def with_main(self, function: str, module: ModuleType) -> Loaded:
        """This, once its entry is imported.

        Raises:
            LoadFailed: It has no `main`.
        """
        self.main = getattr(module, "main", None)
        if not callable(self.main):
            self.forget_modules()
            raise LoadFailed(f"{function} has no function `main`")
        return self

    @property
    def suspends(self) -> bool:
        """Whether its `main` could wait for something."""
        if self._suspends is None:
            self._suspends = _may_suspend(self.main)
        return self._suspends

    def forget_modules(self) -> None:
        """They are not found by any import any more; tracebacks still show their lines."""
        self._forget()

    def close(self) -> None:
        """Forget its modules and their lines; what runs keeps what it holds."""
        self._forget()
        for filename in self.filenames:
            _forget_lines(filename)


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
            loaded.close()

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
        label = f"{function}@{short}"
        module_name = f"dts_functions.{namespace}.{name}.{short}"
        if source.startswith(BUNDLE):
            from dts_core.runner.package import Package

            return self._import_bundle(function, Package(module_name, label, source))
        filename = f"{label}.py"
        module: ModuleType = type(sys)(module_name)
        module.__file__ = filename
        _remember_lines(filename, source)
        sys.modules[module_name] = module
        loaded = Loaded([filename], lambda: sys.modules.pop(module_name, None))
        try:
            code = compile(source, filename, "exec", dont_inherit=True)
            exec(code, module.__dict__)  # noqa: S102 - running user code is what this process is for
        except BaseException as error:
            loaded.forget_modules()
            raise _does_not_import(function, error) from error
        return loaded.with_main(function, module)

    def _import_bundle(self, function: str, package: Any) -> Loaded:
        for filename, source in package.sources.items():
            _remember_lines(filename, source)
        loaded = Loaded(package.sources, package.close)
        try:
            module = package.load()
        except BaseException as error:
            loaded.forget_modules()
            raise _does_not_import(function, error) from error
        return loaded.with_main(function, module)


def _does_not_import(function: str, error: BaseException) -> LoadFailed:
    return LoadFailed(f"{function} does not import: {type(error).__name__}: {_short(error)}")


def _short(error: BaseException) -> str:
    try:
        return str(error)[:300]
    except BaseException:  # noqa: BLE001 - `__str__` is user code
        return "?"


class _Lines:
    """Sources by file name, until `linecache` is there to show their lines in tracebacks."""

    waiting: dict[str, bytes] | None = None


def _remember_lines(filename: str, source: bytes) -> None:
    if _Lines.waiting is None:
        _Lines.waiting = {}
        when_imported("linecache", _hand_over_lines)
    if "linecache" not in sys.modules:
        _Lines.waiting[filename] = source
    else:
        _keep_lines(filename, source)


def _hand_over_lines() -> None:
    for filename, source in (_Lines.waiting or {}).items():
        _keep_lines(filename, source)
    _Lines.waiting = {}


def _keep_lines(filename: str, source: bytes) -> None:
    """Without a modification time the entry is never checked against a file."""
    text = source.decode("utf-8", "replace")
    sys.modules["linecache"].cache[filename] = (len(text), None, text.splitlines(True), filename)


def _forget_lines(filename: str) -> None:
    (_Lines.waiting or {}).pop(filename, None)
    if "linecache" in sys.modules:
        sys.modules["linecache"].cache.pop(filename, None)


def _may_suspend(main: Any) -> bool:
    """Whether a coroutine function could wait for something: if not, one step ends it and no Task is needed."""
    code: Any = getattr(main, "__code__", None)
    if not hasattr(code, "co_code"):
        return True
    import dis

    wanted = {dis.opmap[name] for name in _AWAITS if name in dis.opmap}
    return any(operation in wanted for operation in code.co_code[::2])
