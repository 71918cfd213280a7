"""RabbitMQ's management HTTP API, as far as it is used. Blocks: for commands, and for a thread."""

import base64
import http.client
import ssl
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

import msgspec

from dts_core.errors import BrokerError, BrokerUnavailable, ConfigError, NotFound
from dts_core.text import clean

__all__ = ["Management"]

DEADLINE_SECONDS: Final = 10.0
ANSWER_MAX: Final = 16 << 20


class Management:
    """One server's API.

    Args:
        url: http(s)://HOST:15672, without user and password.
        user: Of an administrator, or of whoever may see.
        password: Theirs.
        ca_file: PEM file that signs the server's certificate; empty: the system's.
        seconds: Longest wait for the network.

    Raises:
        ConfigError: The URL is another one, or holds a password: what stands in a command line is seen by everybody.
    """

    def __init__(
        self,
        url: str,
        *,
        user: str,
        password: str,
        ca_file: str = "",
        seconds: float = DEADLINE_SECONDS,
    ) -> None:
        try:
            found = urlsplit(url)
            self._port = found.port
        except ValueError as error:
            raise ConfigError(f"no such URL: {clean(str(error))}.", key="management") from error
        if found.scheme not in ("http", "https") or not found.hostname:
            raise ConfigError(
                "expected http(s)://HOST:PORT.", key="management", advice="Mostly port 15672."
            )
        if found.password:
            raise ConfigError(
                "a password in a command line is seen by everybody on this machine.",
                key="management",
                advice="Put it into DTS_MANAGEMENT_PASSWORD, or let it be asked for.",
            )
        self._host, self._path = found.hostname, found.path.rstrip("/")
        self._seconds = seconds
        self._tls = found.scheme == "https"
        self._ca_file = str(Path(ca_file).expanduser()) if ca_file else None
        secret = base64.b64encode(f"{user}:{password}".encode()).decode()
        self._headers = {"Authorization": f"Basic {secret}", "Content-Type": "application/json"}
        self._shown = clean(f"{found.scheme}://{found.netloc.rpartition('@')[2]}")

    def get(self, *path: str, query: str = "") -> Any:
        """What is there, with what follows a question mark.

        Raises:
            NotFound: Nothing.
            BrokerError: It refused, or did not answer.
        """
        return self._call("GET", path, None, query)

    def put(self, body: Any, *path: str) -> None:
        """Make or replace it.

        Raises:
            BrokerError: It refused, or did not answer.
        """
        self._call("PUT", path, body)

    def _call(self, method: str, path: tuple[str, ...], body: Any, query: str = "") -> Any:
        where = self._path + "/api/" + "/".join(quote(part, safe="") for part in path)
        where += f"?{query}" * bool(query)
        content = b"" if body is None else msgspec.json.encode(body)
        connection = self._connection()
        try:
            connection.request(method, where, content, self._headers)
            answer = connection.getresponse()
            data = answer.read(ANSWER_MAX)
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise BrokerUnavailable(
                f"{self._shown} does not answer: {clean(reason)}.",
                advice="Check the address, and that the plugin rabbitmq_management is enabled.",
            ) from error
        finally:
            connection.close()
        return self._read(answer.status, data, method, where)

    def _connection(self) -> http.client.HTTPConnection:
        if not self._tls:
            return http.client.HTTPConnection(self._host, self._port, timeout=self._seconds)
        context = ssl.create_default_context(cafile=self._ca_file)
        return http.client.HTTPSConnection(
            self._host, self._port, timeout=self._seconds, context=context
        )

    def _read(self, status: int, data: bytes, method: str, where: str) -> Any:
        if status == 404:
            raise NotFound(f"{self._shown} has no {clean(where)}.")
        if status in (401, 403):
            raise BrokerError(
                f"{self._shown} refuses this user: {method} {clean(where)} answered {status}.",
                advice="It takes a user with the tag administrator, or management to look only.",
            )
        if status >= 300:
            said = clean(data[:300].decode("utf-8", "replace"))
            raise BrokerError(f"{self._shown}: {method} {clean(where)} answered {status}: {said}.")
        try:
            return msgspec.json.decode(data) if data else None
        except msgspec.DecodeError as error:
            raise BrokerError(f"{self._shown} answered with something else than JSON.") from error
