"""A look at secret arguments: what servers seal them to, and whether a worker has the halves that open."""

import os
from pathlib import Path
from typing import Final

from dts_core.doctor.asking import keys_of_servers
from dts_core.doctor.findings import Finding, ok, problem, warning
from dts_core.errors import ConfigError, DtsError
from dts_core.hosting.opening import named_opener, opener_of, sealing_keys
from dts_core.places import ARGUMENTS_KEY, Layout, is_amqp, is_stdio, socket_of
from dts_core.sealed import Sealer
from dts_core.sealed.files import read_opening_keys
from dts_core.settings import OpeningSettings, SealingSettings, WorkerFile
from dts_core.text import clean

__all__ = ["check_internal", "check_opening", "check_sealing"]

AREA: Final = "secrets"
_NO_KEY: Final = "secret arguments are not opened here: there is no private key"
_GIVE: Final = "Copy the file of that key here (mode 0600) and name it in [arguments] key_file."


def check_sealing(settings: SealingSettings, layout: Layout, folder: Path) -> list[Finding]:
    """What a server seals secret arguments to."""
    try:
        names = Sealer(sealing_keys(settings)).names
        if not names and layout.folder is None:
            what = "jobs with secret arguments are refused: [arguments] public_keys is empty"
            advice = "`dts admin arguments new-key FILE` makes a key for the workers, and prints what goes there."
            return [warning(AREA, what, advice)]
        path = folder / ARGUMENTS_KEY
        if not names and not os.path.lexists(path):
            return [ok(AREA, f"{clean(str(path))} is not there yet, made at the first start")]
        names = names or [read_opening_keys(path)[0].public.id]
    except ConfigError as error:
        return [_wrong(error)]
    shown = ", ".join(_shown(name) for name in names)
    return [ok(AREA, f"secret arguments are sealed to key {shown}; workers need the private half")]


def check_internal(settings: OpeningSettings) -> list[Finding]:
    """What the internal worker opens with, for plugins: silent where no key is named."""
    try:
        ids = named_opener(settings).ids
    except ConfigError as error:
        return [_wrong(error)]
    return [_opened(ids)] if ids else []


async def check_opening(settings: WorkerFile) -> list[Finding]:
    """What a worker opens, and whether it has the private half of each key that servers seal to."""
    try:
        ids = opener_of(settings).ids
    except ConfigError as error:
        return [_wrong(error)]
    if is_stdio(settings.broker.url):
        return [_opened(ids)] if ids else []
    if not is_amqp(settings.broker.url):
        return [_opened(ids) if ids else _none_beside(settings)]
    told = [_opened(ids)] if ids else []
    try:
        sealers = (await keys_of_servers(settings)).sealers
    except DtsError as error:
        what = f"it cannot be asked which keys the servers seal to: {clean(error.message, 300)}"
        return [*told, warning(AREA, what, "Look again once it is there.")]
    return told + _compared(ids, sealers)


def _compared(ids: list[str], sealers: list[str]) -> list[Finding]:
    if not sealers:
        return [ok(AREA, "no server that runs now seals secret arguments")]
    lacking = [name for name in sealers if name.partition(" ")[0] not in ids]
    if not lacking:
        return [ok(AREA, "the private half of every key that servers seal to is here")]
    shown = ", ".join(_shown(name) for name in lacking)
    if not ids:
        what = f"{_NO_KEY}, and servers seal to key {shown}"
        return [warning(AREA, what, f"Jobs with secret arguments fail here. {_GIVE}")]
    what = f"servers seal to key {shown}, whose private half is not here"
    if all(" " in name for name in lacking):  # may be meant so: tenants have workers of their own
        advice = f"If jobs of that namespace are to run here: {_GIVE[0].lower()}{_GIVE[1:]}"
        return [warning(AREA, what, advice)]
    return [problem(AREA, what, f"Jobs with secret arguments fail here. {_GIVE}")]


def _none_beside(settings: WorkerFile) -> Finding:
    beside = socket_of(settings.broker.url, key="broker.url").parent / ARGUMENTS_KEY
    shown = clean(str(beside))
    advice = f"Start the worker as the user who owns {shown}, or name a copy of it in [arguments] key_file."
    return warning(AREA, f"{_NO_KEY}, and {shown} is not to be read", advice)


def _opened(ids: list[str]) -> Finding:
    return ok(AREA, f"secret arguments are opened with the keys {', '.join(ids)}")


def _wrong(error: ConfigError) -> Finding:
    return problem(AREA, error.message, error.advice)


def _shown(name: str) -> str:
    key, _, namespace = clean(name, 120).partition(" ")
    return f"{key} (namespace {namespace})" if namespace else key
