"""From a target to a connection that is logged in; every way it can fail becomes one of our errors."""

import asyncio
import random
import socket
from typing import Any, Final

import asyncssh
import msgspec

from dts_core.errors import DtsError, HostKeyChanged, HostUnreachable, LoginDenied, RemoteError
from dts_core.ssh.algorithms import CIPHERS, KEY_EXCHANGES_REFUSED, MACS, SIGNATURES
from dts_core.ssh.asking import Asking, Question
from dts_core.ssh.base import type_of
from dts_core.ssh.dial import Dialer
from dts_core.ssh.gate import Gate
from dts_core.ssh.hostkeys import offers
from dts_core.ssh.keycache import KeyCache, Presented
from dts_core.ssh.login import Login
from dts_core.ssh.quiet import with_lazy_keepalive
from dts_core.ssh.settings import SshSettings
from dts_core.ssh.target import Credentials, Target
from dts_core.text import clean, one_line

__all__ = ["Connected", "Connector"]

RETRY_SECONDS: Final = 0.2
WATCHED_TIMES: Final = 4
"""How much rarer SSH asks a host when the system watches the way to it: what is left to find is an sshd that hangs."""
_NO_KEYS: Final = ((), (), ())
"""No list of known hosts is given to asyncssh: `Login` is asked for each key, and decides by itself."""


class Connected:
    """A connection that is logged in."""

    def __init__(
        self, connection: asyncssh.SSHClientConnection, login: Login, dialer: Dialer
    ) -> None:
        self.connection = connection
        self.login = login
        self.dialer = dialer


class Connector:
    """Makes connections, as many at once as the gate lets in.

    Args:
        settings: Times and limits.
        asking: Who answers a host's questions.
    """

    def __init__(self, settings: SshSettings, asking: Asking | None = None) -> None:
        self._settings = settings
        self._asking = asking
        self._keys = KeyCache()
        self._gate = Gate(settings.logins_max, settings.logins_per_door)
        self._waits = settings.prompt_seconds if asking is not None else 0.0
        self._shared = _options(settings, settings.login_seconds + self._waits)

    async def connect(
        self,
        target: Target,
        through: asyncssh.SSHClientConnection | None,
    ) -> Connected:
        """Log in.

        Tried again, after a moment, only when the connection broke before the login began: a busy sshd drops those.

        Raises:
            HostUnreachable: Not reached, or by no means that is safe.
            HostKeyRejected: It is not the host that is meant; it saw nothing of ours.
            LoginDenied: It does not take what we showed.
        """
        key = await self._keys.key(await self._unlocking(target), target.id)
        forms = offers(target.pins)
        tried = 1
        changed: HostKeyChanged | None = None
        while True:
            try:
                async with self._gate.passing(target.door):
                    return await self._attempt(target, key, forms, through)
            except HostKeyChanged as error:
                changed = error
                forms = _other_forms(target, forms, error)
                if not forms:
                    raise
            except HostUnreachable as error:
                is_last = not error.is_retryable or tried >= self._settings.tries
                if changed is not None and (is_last or error.stage == "exchange"):
                    raise changed from None  # it has no other key to show, or does not say so
                if is_last:
                    raise
                tried += 1
                await asyncio.sleep(RETRY_SECONDS * tried * random.uniform(0.5, 1.5))

    async def _unlocking(self, target: Target) -> Credentials:
        """What is shown to the host, with the passphrase that a person gives where one is missing.

        Raises:
            LoginDenied: They do not give it.
        """
        ours = target.credentials
        if not ours.locked_key or self._asking is None:
            return ours
        told = clean(f"Passphrase of {ours.locked_key}", 300)
        question = Question(told, is_secret=True, opens=ours.locked_key)
        seconds = self._settings.prompt_seconds
        try:
            async with asyncio.timeout(seconds):
                given = await self._asking.answer(target.id, clean(""), [question])
        except TimeoutError:
            why = f"nobody answered the prompt {question.text!r} in time ({seconds:.3g} s)"
            raise LoginDenied(why, host=target.id) from None
        except RemoteError:
            raise
        except DtsError as error:
            raise LoginDenied(str(error), host=target.id) from error
        if not given:
            raise LoginDenied(f"the prompt {question.text!r} was not answered", host=target.id)
        return msgspec.structs.replace(ours, passphrase=given[0])

    async def _attempt(
        self,
        target: Target,
        key: Presented | None,
        forms: tuple[str, ...],
        through: asyncssh.SSHClientConnection | None,
    ) -> Connected:
        settings = self._settings
        login = Login(target, key, self._asking, prompt_seconds=settings.prompt_seconds)
        dialer = Dialer(settings, through)
        most = settings.connect_seconds + settings.login_seconds + self._waits
        try:
            async with asyncio.timeout(most):
                connection = await asyncssh.connect(
                    target.address,
                    target.port,
                    tunnel=dialer,  # anything with create_connection serves
                    options=self._shared,
                    client_factory=lambda: login,
                    username=target.user,
                    server_host_key_algs=forms,
                )
        except asyncssh.Error as error:
            raise _failure(target, login, error) from error
        except (OSError, ValueError) as error:  # TimeoutError is an OSError
            raise _failure(target, login, error) from error
        finally:
            login.end_login()
        every = settings.keepalive_seconds * (WATCHED_TIMES if dialer.is_watched else 1)
        connection.set_keepalive(every)
        with_lazy_keepalive(connection, every)
        return Connected(connection, login, dialer)


def _options(settings: SshSettings, login_seconds: float) -> asyncssh.SSHClientConnectionOptions:
    """What is the same for every host. Nothing of the user's own files or environment is read."""
    return asyncssh.SSHClientConnectionOptions(
        config=None,
        known_hosts=_NO_KEYS,
        host="",
        client_keys=None,
        agent_forwarding=False,
        x11_forwarding=False,
        gss_host=None,
        gss_kex=False,
        gss_auth=False,
        host_based_auth=False,
        x509_trusted_certs=None,
        x509_trusted_cert_paths=(),
        disable_trivial_auth=True,
        preferred_auth=("publickey", "keyboard-interactive", "password"),
        kex_algs=KEY_EXCHANGES_REFUSED,
        encryption_algs=CIPHERS,
        mac_algs=MACS,
        signature_algs=SIGNATURES,
        compression_algs=None,
        env=None,
        send_env=None,
        connect_timeout=None,
        login_timeout=login_seconds,
        keepalive_interval=settings.keepalive_seconds,
        keepalive_count_max=settings.keepalive_misses,
    )


def _other_forms(target: Target, forms: tuple[str, ...], error: HostKeyChanged) -> tuple[str, ...]:
    """Forms to ask for next: a fingerprint told beforehand may be of another key than the one that was shown first."""
    if not target.pins.fingerprints:
        return ()
    kind = type_of(error.shown)
    stem = "rsa-" if kind == "ssh-rsa" else kind
    return tuple(form for form in forms if not form.startswith(stem))


def _failure(target: Target, login: Login, error: Exception) -> RemoteError:
    """What a failed attempt comes to; what the login itself refused stands above what asyncssh says."""
    if login.refusal is not None:
        return login.refusal
    if isinstance(error, asyncssh.HostKeyNotVerifiable):
        return login.certificate_refused(str(error))
    if isinstance(error, asyncssh.PermissionDenied):
        return _denied(target)
    if isinstance(error, TimeoutError) and not login.began_login:
        return _unreachable(target, "it does not answer in time")
    if isinstance(error, asyncssh.ConnectionLost) and "Login timeout" in str(error):
        return _unreachable(target, "the login took too long", stage="login")
    if isinstance(error, asyncssh.ChannelOpenError):
        return _unreachable(target, f"the jump host cannot reach it: {one_line(error.reason)}")
    if isinstance(error, ConnectionRefusedError):
        advice = "Check its address and port, and that its SSH server runs."
        return _unreachable(target, "the connection is refused", advice=advice)
    if isinstance(error, socket.gaierror):
        return _unreachable(target, "its name cannot be resolved", advice="Check its address.")
    if isinstance(error, asyncssh.KeyExchangeFailed | asyncssh.ProtocolNotSupported):
        why = f"no common ground that is safe: {one_line(str(error))}"
        return _unreachable(target, why, stage="exchange", advice="Update its SSH server.")
    return _broken(target, login, error)


def _broken(target: Target, login: Login, error: Exception) -> RemoteError:
    if login.began_login:
        return _unreachable(target, f"it broke off the login: {_words(error)}", stage="login")
    dropped = isinstance(error, asyncssh.ConnectionLost | ConnectionResetError | BrokenPipeError)
    stage = "exchange" if isinstance(error, asyncssh.Error) else "connect"
    return _unreachable(target, _words(error), stage=stage, is_retryable=dropped)


def _denied(target: Target) -> LoginDenied:
    ours = target.credentials
    offered = {
        "key of one's own": ours.own_keys,
        "key": ours.private_key,
        "agent": ours.agent,
        "password": ours.password,
    }
    shown = [name for name, value in offered.items() if value]
    told = " and ".join(shown) if shown else "nothing"
    return LoginDenied(
        f"it does not let {one_line(target.user, 64)} in ({told} was shown)",
        host=target.id,
        advice="Check the user, and that its authorized_keys holds the key.",
    )


def _unreachable(target: Target, why: str, **more: Any) -> HostUnreachable:
    return HostUnreachable(why, host=target.id, **more)


def _words(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return one_line(text) or type(error).__name__
