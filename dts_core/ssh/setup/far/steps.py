"""The steps: each looks how things are, makes them as they shall be, and is looked at again."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dts_core.ssh.setup.far import program, service
from dts_core.ssh.setup.far.base import (
    Failed,
    Place,
    account_of,
    command,
    digest_of,
    must,
    write_whole,
)
from dts_core.ssh.setup.far.journal import Journal

SETTINGS = ("worker.toml", "worker.env", "signing.pub", "ca.pem")


def look(place: Place, order: "dict[str, Any]") -> "dict[str, Any]":
    """How things are for each step that is named, and where a cut left off."""
    states = {name: _state(place, name, order["salt"]) for name in order["steps"]}
    here = [each.name for each in (place.program / "versions").glob("*") if each.suffix != ".part"]
    return {"steps": states, "cut_at": Journal(place).cut_at, "releases": sorted(here)}


def apply(place: Place, order: "dict[str, Any]", body: "Iterator[bytes]") -> "dict[str, Any]":
    """Make one step as it shall be, unless it is.

    Returns:
        `was` and `is`: before and after; `changed`: whether anything was done.

    Raises:
        Failed: It could not be done, or is not so after it was.
    """
    name, will, salt = order["step"], order["will"], order["salt"]
    was = _state(place, name, salt)
    if was == will:
        return {"was": was, "is": was, "changed": False}
    journal = Journal(place)
    journal.begin(name)
    given = order["given"]
    if name == "account":
        _make_account(place, journal)
    elif name == "folders":
        _make_folders(place, will, journal)
    elif name == "program":
        program.put(place, given, body)
    elif name == "config":
        _write_settings(place, given["files"], journal)
    elif name == "unit":
        service.write_unit(place, given, journal)
    elif name == "service":
        service.start(place, given)
    now = _state(place, name, salt)
    if now != will:
        raise Failed(
            f"step {name} is not as it shall be after it was done: {_differences(now, will)}"
        )
    journal.end(name)
    return {"was": was, "is": now, "changed": True}


def stop(place: Place, order: "dict[str, Any]") -> bool:
    """Let the worker finish what it runs and end; whether it ran."""
    return service.stop(place, order["seconds"])


def _state(place: Place, name: str, salt: str) -> "dict[str, Any]":
    if name == "account":
        found = account_of(place.account)
        return {"name": found["name"] if found else ""}
    if name == "folders":
        return {key: _folder(getattr(place, key)) for key in ("program", "config", "data")}
    if name == "program":
        return program.state(place)
    if name == "config":
        return {each: digest_of(place.config / each, salt) for each in SETTINGS}
    if name == "unit":
        return service.unit_state(place, salt)
    if name == "service":
        return service.state(place)
    raise Failed(f"there is no step {name!r}")


def _folder(path: Path) -> str:
    try:
        status = path.stat()
    except FileNotFoundError:
        return ""
    try:
        owner = path.owner()
    except KeyError:
        owner = str(status.st_uid)
    return f"{status.st_mode & 0o777:o} {owner}"


def _make_account(place: Place, journal: Journal) -> None:
    journal.make(place.program, 0o755)
    journal.note("account", place.account)
    shell = "/usr/sbin/nologin" if Path("/usr/sbin/nologin").exists() else "/bin/false"
    home = str(place.data)
    argv = ["useradd", "--system", "--user-group", "--home-dir", home, "--no-create-home"]
    must([*argv, "--shell", shell, place.account])


def _make_folders(place: Place, will: "dict[str, str]", journal: Journal) -> None:
    for key in ("program", "config", "data"):
        path = getattr(place, key)
        mode, _, owner = will[key].partition(" ")
        journal.make(path, int(mode, 8))
        if _folder(path) == will[key]:
            continue
        path.chmod(int(mode, 8))
        if owner == place.account:
            _give(path, place)


def _give(path: Path, place: Place) -> None:
    user, group = place.owner()
    os.chown(path, user, group)


def _write_settings(place: Place, files: "dict[str, dict[str, Any]]", journal: Journal) -> None:
    _, group = place.owner()
    for name in SETTINGS:
        path = place.config / name
        wanted = files.get(name)
        if wanted is not None:
            if not path.exists():
                journal.note("files", sorted({*journal.did.get("files", []), str(path)}))
            shared = group if place.account and wanted["mode"] & 0o040 else -1
            write_whole(path, wanted["text"].encode(), wanted["mode"], shared)
        elif path.exists():
            path.unlink()


def remove_account(name: str) -> None:
    """Take away a user that was made here."""
    status, said = command(["userdel", name])
    if status not in (0, 6):  # 6: there is none
        raise Failed(f"userdel {name} ended with {status}: {said}")


def _differences(now: "dict[str, Any]", will: "dict[str, Any]") -> str:
    return ", ".join(name for name in will if now.get(name) != will[name]) or "more than was asked"
