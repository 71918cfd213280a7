"""Why MongoDB cannot be reached, in words: what the driver met when it last tried to connect."""

import re
from typing import Any, Final

from dts_core.errors import StoreUnavailable
from dts_core.places import uses_tls
from dts_core.settings import StoreSettings
from dts_core.stores.mongodb.driver import Client, OperationFailure
from dts_core.text import one_line

__all__ = ["unreached"]

_OWN_CERTIFICATE: Final = "[store.tls] cert_file names one PEM file with certificate and key."
_CASES: Final = (
    (
        "is not valid for",
        "its certificate is another host's",
        "Write the host in store.url as its certificate has it.",
    ),
    (
        "certificate verify failed",
        "its certificate is not trusted here",
        "[store.tls] ca_file names the PEM file of who signed it.",
    ),
    ("alert certificate required", "it asks for a certificate of ours", _OWN_CERTIFICATE),
    ("alert handshake failure", "it asks for a certificate of ours", _OWN_CERTIFICATE),
    ("alert", "it does not take our certificate", _OWN_CERTIFICATE),
    ("wrong version number", "it does not speak TLS", "Take tls=true out of store.url."),
)
"""What the error says, what that means, what to do; the first that fits counts."""
_CUT_OFF: Final = ("EOF occurred", "reset by peer", "connection closed")
_NOISE: Final = re.compile(r"\[SSL[^\]]*\] |\[Errno -?\d+\] | \(_ssl\.c:\d+\)| \(configured .*\)")


def unreached(client: Client, settings: StoreSettings) -> StoreUnavailable | None:
    """What keeps a client from all of its servers; None when one answers, or nothing is known yet."""
    seen: Any = client.topology_description  # a property of the driver's, declared as a function
    errors = [each.error for each in seen.server_descriptions().values()]
    met = [str(error) for error in errors if error and not isinstance(error, OperationFailure)]
    if not met or len(met) < len(errors):
        return None
    told = next((each for each in met if "SSL" in each), met[0])
    return _in_words(told, settings)


def _in_words(told: str, settings: StoreSettings) -> StoreUnavailable:
    detail = one_line(_NOISE.sub("", told), 200).rstrip(".")
    for mark, meaning, advice in _CASES:
        if mark in told:
            return StoreUnavailable(f"MongoDB: {meaning} ({detail}).", advice=advice)
    if any(mark in told for mark in _CUT_OFF):
        what = f"MongoDB cuts the connection off ({detail})."
        return StoreUnavailable(what, advice=_wanted(settings))
    return StoreUnavailable(f"MongoDB does not answer: {detail}.", advice=_CHECK)


_CHECK: Final = "Check host and port of store.url, and that MongoDB runs."


def _wanted(settings: StoreSettings) -> str:
    if not uses_tls(settings.url):
        return "It may want TLS: add tls=true to store.url."
    if not settings.tls.cert_file:
        return f"It may ask for a certificate of ours: {_OWN_CERTIFICATE}"
    return "See its log for what it misses."
