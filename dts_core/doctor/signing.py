"""A look at signatures: the key of a server, and whose functions a worker runs."""

from pathlib import Path
from typing import Final

from dts_core.doctor.asking import keys_of_servers
from dts_core.doctor.findings import Finding, ok, problem, warning
from dts_core.errors import ConfigError, DtsError
from dts_core.hosting.trust import NOTHING, keys_beside, named_keys
from dts_core.places import SIGNING_KEY, Layout, is_amqp
from dts_core.settings import SigningSettings, WorkerFile
from dts_core.signing.files import load_signer, read_keys
from dts_core.text import clean

__all__ = ["check_signer", "check_trust"]

AREA: Final = "signing"


def check_signer(settings: SigningSettings, layout: Layout, folder: Path) -> list[Finding]:
    """The key that a server signs with: there, private, and what workers have to know of it."""
    path = Path(settings.key_file).expanduser() if settings.key_file else folder / SIGNING_KEY
    if not settings.key_file:
        if layout.folder is None:
            what = "functions are not signed: [signing] key_file is empty"
            advice = "`dts admin signing new-key FILE`; all servers use the same file."
            return [problem(AREA, what, advice)]
        if not path.exists():
            return [ok(AREA, f"{clean(str(path))} is not there yet, made at the first start")]
    try:
        public = load_signer(path).public
    except ConfigError as error:
        return [problem(AREA, error.message, error.advice)]
    return [ok(AREA, f"functions are signed with key {public.id}; workers trust it as {public}")]


async def check_trust(settings: WorkerFile) -> list[Finding]:
    """Whose functions a worker runs, and whether the servers' keys are among them."""
    try:
        trusted = {key.id for key in named_keys(settings)}
    except ConfigError as error:
        return [problem(AREA, error.message, error.advice)]
    if is_amqp(settings.broker.url):
        try:
            signers = (await keys_of_servers(settings)).signers
        except DtsError as error:
            what = f"it cannot be asked which keys the servers use: {clean(error.message, 300)}"
            return [*_told(trusted, settings), warning(AREA, what, "Look again once it is there.")]
        return [*_told(trusted, settings), *_compared(trusted, signers)]
    beside = keys_beside(settings)
    if beside is not None and beside.is_file():
        try:
            trusted |= {key.id for key in read_keys(beside)}
        except ConfigError as error:
            return [problem(AREA, error.message, error.advice)]
    return _told(trusted, settings)


def _told(trusted: set[str], settings: WorkerFile) -> list[Finding]:
    if trusted:
        return [ok(AREA, f"functions are verified, by the keys {', '.join(sorted(trusted))}")]
    if settings.signing.required:
        what = "there is no public key, and without one the worker does not start"
        return [problem(AREA, what, "`dts admin signing public FILE` prints the server's.")]
    what, _, advice = NOTHING.partition(". ")
    return [warning(AREA, what, f"{advice}, and required = true.")]


def _compared(trusted: set[str], signers: list[str]) -> list[Finding]:
    if not trusted:
        return []
    if not signers:
        advice = "Start a server of this version with [signing] key_file."
        return [warning(AREA, "no server that runs now signs functions", advice)]
    unknown = [clean(key, 16) for key in signers if key not in trusted]
    if unknown:
        what = f"a server signs with key {', '.join(unknown)}, which is not trusted here"
        return [problem(AREA, what, "Add it to [signing] public_keys: what it signs is refused.")]
    return [ok(AREA, "the key of every server that runs is trusted")]
