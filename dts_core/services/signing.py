"""Signing what is stored: versions from before there was a key, and all of them after a new one."""

import logging
from collections.abc import Callable
from typing import Final

import msgspec

from dts_core.errors import Conflict, InvalidInput, NotFound
from dts_core.model import Function, FunctionVersion
from dts_core.services.access import Caller
from dts_core.services.admin import AdminWriter
from dts_core.services.functions import FUNCTIONS
from dts_core.services.users import LOCAL
from dts_core.signing import Signer, Trust, Unsigned
from dts_core.stores.base import Store
from dts_core.views import SigningReport, SigningView

__all__ = ["Signing"]

SIGN: Final = "sign"
"""What the audit calls it."""
PAGE: Final = 100
REFUSED_MAX: Final = 100
"""Most versions that a report names as refused."""
STRANGE: Final = (
    "%d versions of functions are signed by other keys than %s, which this server uses: workers that trust it alone "
    "refuse them. `dts admin signing resign` signs them again"
)
_log = logging.getLogger(__name__)


class Signing:
    """Signs versions that are stored already. New ones are signed by `Functions` as they are written.

    Args:
        store: Where the functions are.
        writer: Each function signed is one write, with its operation.
        signer: The key; None: this server has none.
    """

    def __init__(self, store: Store, writer: AdminWriter, signer: Signer | None) -> None:
        self._store = store
        self._writer = writer
        self._signer = signer

    def show(self) -> SigningView:
        """The public half of this server's key; empty when it has none."""
        if self._signer is None:
            return SigningView()
        return SigningView(key=self._signer.public.id, public=str(self._signer.public))

    async def sign_unsigned(self) -> int:
        """Sign every stored version that nobody has signed yet, as after an upgrade; how many.

        Several servers may do so at once. Without a key nothing is done.

        Raises:
            StoreUnavailable: Part of it may be done; a further call does the rest.
        """
        if self._signer is None:
            return 0
        key, strange = self._signer.public.id, 0

        def is_unsigned(version: FunctionVersion) -> bool:
            nonlocal strange
            strange += version.signed_by not in ("", key)
            return version.signature is None

        report = await self._sign(LOCAL, is_unsigned)
        if report.signed:
            _log.info("%d versions of functions were signed for the first time", report.signed)
        if strange:
            _log.warning(STRANGE, strange, key)
        return report.signed

    async def resign(self, caller: Caller) -> SigningReport:
        """Sign every stored version again with the key that is used now, after which former keys can be dropped.

        A version whose signature claims to be of this key and is not was changed by somebody: it stays as it is, and
        is named.

        Raises:
            InvalidInput: This server has no key.
            StoreUnavailable: Part of it may be done; a further call does the rest.
        """
        if self._signer is None:
            raise InvalidInput(
                "this server signs nothing.",
                fields={"key_file": "[signing] names none"},
                advice="Name a key in [signing] key_file; `dts admin signing new-key FILE` makes one.",
            )
        key = self._signer.public.id
        report = await self._sign(caller, lambda version: version.signed_by != key)
        return msgspec.structs.replace(report, refused=await self._refused())

    async def _sign(
        self, caller: Caller, is_wanted: Callable[[FunctionVersion], bool]
    ) -> SigningReport:
        assert self._signer is not None
        functions = versions = 0
        cursor = ""
        while True:
            page, cursor = await FUNCTIONS.page(self._store, after=cursor, limit=PAGE)
            for function in page:
                signed = await self._sign_one(caller, function, is_wanted)
                functions += bool(signed)
                versions += signed
            if not cursor:
                return SigningReport(
                    key=self._signer.public.id, functions=functions, signed=versions
                )

    async def _sign_one(
        self, caller: Caller, found: Function | None, is_wanted: Callable[[FunctionVersion], bool]
    ) -> int:
        """How many of its versions were signed; begun anew when somebody else changes it meanwhile."""
        while found is not None:
            wanted = {version.hash for version in found.versions if is_wanted(version)}
            if not wanted:
                return 0
            try:
                await self._writer.write(
                    caller, FUNCTIONS, found, self._signed(found, wanted), op_type=SIGN
                )
            except (Conflict, NotFound):
                found = await FUNCTIONS.find(self._store, found.id)
            else:
                return len(wanted)
        return 0

    def _signed(self, function: Function, wanted: set[str]) -> Function:
        signer = self._signer
        assert signer is not None
        versions = [
            msgspec.structs.replace(version, signature=signer.sign(function.id, version.hash))
            if version.hash in wanted
            else version
            for version in function.versions
        ]
        return msgspec.structs.replace(function, versions=versions)

    async def _refused(self) -> list[str]:
        """Versions whose signature is not for them, as `namespace/name hash`."""
        assert self._signer is not None
        trust, refused, cursor = Trust([self._signer.public]), list[str](), ""
        while True:
            page, cursor = await FUNCTIONS.page(self._store, after=cursor, limit=PAGE)
            for function in page:
                for version in function.versions:
                    try:
                        trust.check(function.id, version.hash, version.signature)
                    except Unsigned:
                        refused.append(f"{function.id} {version.hash}")
            if not cursor or len(refused) >= REFUSED_MAX:
                return refused[:REFUSED_MAX]
