"""The engines of store and broker as fixtures: every test that asks for one runs on each."""

from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import pytest

from dts_core.stores.base import Store
from dts_core.stores.jobstore import Intake
from dts_core.testing import ManualClock
from tests.contract.broker_backends import BACKENDS, Backend
from tests.contract.store_backends import STORES, Engine, Opener, opener


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def empty_database(request: pytest.FixtureRequest) -> Callable[[], str]:
    """The URL of an empty database; the server is started by the first test that asks."""
    return lambda: request.getfixturevalue("mongodb").empty()


@pytest.fixture(params=STORES)
def open_engine(request: pytest.FixtureRequest, empty_database: Callable[[], str]) -> Opener:
    """How to open this engine over a folder; for tests that open it twice."""
    return opener(request.param, empty_database)


@pytest.fixture
def is_remote(request: pytest.FixtureRequest) -> bool:
    """Whether each call of the store crosses a wire: then fewer of the same kind have to do."""
    return request.node.callspec.params["open_engine"] == "mongodb"  # type: ignore[no-any-return]


@pytest.fixture
async def engine(open_engine: Opener, tmp_path: Path, clock: ManualClock) -> AsyncIterator[Engine]:
    async with open_engine(tmp_path, clock) as opened:
        yield opened


@pytest.fixture
def store(engine: Engine) -> Store:
    return engine.store


@pytest.fixture
def intake(engine: Engine) -> Intake:
    return engine.intake


@pytest.fixture(params=BACKENDS)
async def backend(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Backend]:
    """A broker, ready."""
    async with BACKENDS[request.param](tmp_path, partial(request.getfixturevalue, "rabbit")) as it:
        yield it
