"""Signatures of function versions: made by whoever writes functions, checked by whoever runs them.

The only place that knows the algorithm (Ed25519) and its library.
"""

from dts_core.signing.keys import PublicKey, Signer
from dts_core.signing.trust import Trust, Unsigned

__all__ = ["PublicKey", "Signer", "Trust", "Unsigned"]
