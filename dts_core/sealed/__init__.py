"""Secret arguments: sealed by the server to the workers' key, opened in the worker that runs the job.

The only place that knows the algorithm (a sealed box: X25519, XSalsa20-Poly1305) and its library.
"""

from dts_core.sealed.boxes import Call, Opener, Sealer
from dts_core.sealed.keys import OpeningKey, SealingKey
from dts_core.sealed.opening import Opened, Secrets, refusal

__all__ = ["Call", "Opened", "Opener", "OpeningKey", "Sealer", "SealingKey", "Secrets", "refusal"]
