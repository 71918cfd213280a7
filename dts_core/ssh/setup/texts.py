"""The files that a host gets beside the program: settings, login, keys, and what starts the worker."""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from dts_core.plain.toml import to_toml
from dts_core.resources import etc_folder
from dts_core.ssh.setup.farend import supervisor_source
from dts_core.ssh.setup.places import WORKER
from dts_core.ssh.setup.wish import Place, Wish

__all__ = ["Text", "settings_texts", "unit_texts"]

_USER_UNIT: Final = """\
# A worker of this user's own. Written by dts; changes are overwritten.

[Unit]
Description=dts worker
Documentation=man:systemd.service(5)

[Service]
Type=notify
NotifyAccess=main
TimeoutStartSec=infinity
ExecStart={program}/{worker} -c {config}/worker.toml
EnvironmentFile=-{config}/worker.env
WorkingDirectory={data}
WatchdogSec=60
Restart=always
RestartSec=2
KillMode=mixed
TimeoutStopSec={stop:.0f}
OOMPolicy=continue
LimitCORE=0
UMask=0077
LockPersonality=yes
NoNewPrivileges=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native

[Install]
WantedBy=default.target
"""
STOP_SPARE_SECONDS: Final = 30.0


class Text(msgspec.Struct, frozen=True):
    """A file."""

    text: str
    mode: int

    def __repr__(self) -> str:
        return f"Text(***, {self.mode:o})"


def settings_texts(wish: Wish, place: Place) -> dict[str, Text]:
    """What lies in the folder of settings, by name."""
    shared, secret = (0o640, 0o600) if place.account else (0o600, 0o600)
    open_to_all = 0o644 if place.account else 0o600
    found = {"worker.toml": Text(_toml(_tables(wish, place)), shared)}
    keys = "".join(f"{key}\n" for key in wish.public_keys)
    found["signing.pub"] = Text(keys, open_to_all)
    if wish.mode == "service" and wish.broker_url is not None:
        found["worker.env"] = Text(f"DTS_BROKER_URL={wish.broker_url.reveal()}\n", secret)
    if wish.broker_ca:
        found["ca.pem"] = Text(wish.broker_ca, open_to_all)
    return found


def _tables(wish: Wish, place: Place) -> dict[str, dict[str, Any]]:
    tables: dict[str, dict[str, Any]] = {
        "worker": {
            "host": wish.host,
            "data": place.data,
            "queues": list(wish.queues),
            "drain_seconds": wish.drain_seconds,
        },
        "signing": {"public_keys_file": f"{place.config}/signing.pub"},
    }
    if wish.broker_ca:
        tables["broker.tls"] = {"ca_file": f"{place.config}/ca.pem"}
    for name, given in wish.settings.items():
        tables[name] = {**tables.get(name, {}), **given}
    return tables


def _toml(tables: Mapping[str, Mapping[str, Any]]) -> str:
    parts = [f"[{name}]\n{to_toml(table)}" for name, table in tables.items()]
    return "# Written by dts when it set this host up; changes are overwritten.\n\n" + "\n".join(
        parts
    )


def unit_texts(wish: Wish, place: Place, home: str) -> dict[str, Text]:
    """What starts the worker, by name."""
    if place.manager == "systemd":
        return {place.unit.rpartition("/")[2]: Text(_system_unit(wish, place), 0o644)}
    if place.manager == "systemd-user":
        stop = wish.drain_seconds + STOP_SPARE_SECONDS
        paths = {name: getattr(place, name) for name in ("program", "config", "data")}
        return {
            place.unit.rpartition("/")[2]: Text(
                _USER_UNIT.format(**paths, stop=stop, worker=WORKER), 0o644
            )
        }
    told = {
        "argv": [f"{place.program}/{WORKER}", "-c", f"{place.config}/worker.toml"],
        "env_file": f"{place.config}/worker.env",
        "account": place.account,
        "folder": place.data,
        "home": place.data if place.account else home,
        "drain_seconds": wish.drain_seconds,
    }
    return {
        "supervisor.py": Text(supervisor_source(), 0o600),
        "service.json": Text(json.dumps(told, indent=1) + "\n", 0o600),
    }


def _system_unit(wish: Wish, place: Place) -> str:
    """The unit that ships with dts, with this host's paths in it."""
    text = (etc_folder() / "systemd" / "dts-worker.service").read_text("utf-8")
    lines = {
        "ExecStart": f"{place.program}/{WORKER} -c {place.config}/worker.toml",
        "EnvironmentFile": f"-{place.config}/worker.env",
        "TimeoutStopSec": f"{wish.drain_seconds + STOP_SPARE_SECONDS:.0f}",
    }
    for name, value in lines.items():
        text, count = re.subn(rf"(?m)^{name}=.*$", f"{name}={value}", text)
        assert count == 1, f"the shipped unit has no {name}="
    return text
