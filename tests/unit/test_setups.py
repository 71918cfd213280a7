"""Jobs that set hosts up, started again: with what counts now."""

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from dts_core.services.hostruns import INIT, REMOVE
from dts_core.services.setups import Setups
from dts_core.services.users import LOCAL
from dts_core.settings import BrokerSettings, SetupSettings
from dts_core.views import SubmitRequest
from dts_core.views.ssh import SshPerson


class Desk:
    """Takes what is submitted, and knows every virtual host."""

    def __init__(self) -> None:
        self.submitted: list[SubmitRequest] = []

    async def submit(self, caller: Any, request: SubmitRequest, **_: Any) -> None:
        self.submitted.append(request)

    async def load(self, *_: Any) -> None:
        return None

    async def record(self, *_: Any) -> None:
        return None


@pytest.mark.parametrize(("function", "keys"), [(INIT, ["new"]), (REMOVE, None)])
async def test_again_hosts_trust_the_key_of_now(function: str, keys: list[str] | None) -> None:
    """A set-up from before a new signing key would make workers that refuse every function."""
    desk: Any = Desk()
    signing: Any = SimpleNamespace(show=lambda: SimpleNamespace(public="new"))
    setups = Setups(desk, desk, desk, signing, SetupSettings(), BrokerSettings())
    asked = {"vhosts": ["a", "b"], "scope": "user"} | ({"public_keys": ["old"]} if keys else {})
    job: Any = SimpleNamespace(
        id="j", function=function, kwargs=msgspec.json.encode(asked), timeout_seconds=60.0
    )
    await setups.again(LOCAL, job, ["b"], SshPerson())
    [request] = desk.submitted
    told = msgspec.json.decode(bytes(request.kwargs))
    assert (told["vhosts"], told["scope"], told.get("public_keys")) == (["b"], "user", keys)
