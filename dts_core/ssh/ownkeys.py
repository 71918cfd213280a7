"""Keys of a person whose private halves never come here: each signature is asked of them."""

from collections.abc import Awaitable, Callable
from typing import Final

import asyncssh

__all__ = ["OwnKey"]

Sign = Callable[[bytes], Awaitable[bytes | None]]
_RSA: Final = b"ssh-rsa"
_RSA_FORMS: Final = (b"rsa-sha2-256", b"rsa-sha2-512")
"""SHA-1 is not among them."""


class OwnKey(asyncssh.SSHKeyPair):
    """One of them, as asyncssh takes it; it is asked for a signature only where the host knows the key.

    Args:
        line: Its public half, `TYPE BASE64`.
        sign: Asks the person; None: they decline, and another way to log in is tried.
    """

    _key_type = "own"

    def __init__(self, line: str, sign: Sign) -> None:
        key = asyncssh.import_public_key(line)
        algorithm = key.algorithm
        forms = _RSA_FORMS if algorithm == _RSA else (algorithm,)
        super().__init__(algorithm, algorithm, forms, forms, key.public_data, None)
        self._sign = sign

    async def sign_async(self, data: bytes) -> bytes:
        """See SSHKeyPair.

        Raises:
            ValueError: The person declines.
        """
        signature = await self._sign(data)
        if signature is None:
            raise ValueError("the signature was declined")
        return signature
