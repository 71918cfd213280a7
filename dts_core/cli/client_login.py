"""`dts login`, `dts logout` and `dts password`."""

import sys
from pathlib import Path

import click

from dts_core.cli.client_common import Where, print_line, server_options
from dts_core.text import clean


@click.command()
@click.option("--url", required=True, metavar="URL", help="Address of the server.")
@click.option("--user", required=True, help="Your name there.")
@click.option(
    "--context", default="", metavar="NAME", help="What to call it here; empty: the host's name."
)
@click.option("--hours", default=0.0, help="How long the token counts; 0: the server's setting.")
@click.option(
    "--secret-file",
    default="",
    metavar="FILE",
    help="Read the secret from a file (-: a line of standard input); else it is asked for.",
)
@click.option("--ca", default="", metavar="FILE", help="Certificates to trust beside the system's.")
def login(url: str, user: str, context: str, hours: float, ca: str, secret_file: str) -> None:
    """Log in to a server and remember it as a context (in a file that only you can read).

    \b
    Example:
      dts login --url https://dts.example:7117 --user anna --context prod
    """  # noqa: D301 - below \b click keeps the lines
    from urllib.parse import urlsplit

    from dts_core.clients import SyncClient
    from dts_core.clients.endpoint import Context, changed_contexts

    secret = _secret(secret_file)
    with SyncClient(url, verify=ca) as client:
        answer = client.login(user, secret, hours=hours)
        address = client.url
    name = context or (urlsplit(address).hostname or "default")
    with changed_contexts() as known:
        known.contexts[name] = Context(url=address, user=answer.user, token=answer.token, ca=ca)
        known.current = name
    until = answer.expires_at.astimezone()
    print_line(
        f"logged in as {clean(answer.user)} ({clean(answer.role)}) until {until:%Y-%m-%d %H:%M};"
        f" context {clean(name)}"
    )


def _secret(file: str) -> str:
    from dts_core.errors import ConfigError

    if not file:
        answer: str = click.prompt("secret", hide_input=True)
        return answer
    if file == "-":
        return sys.stdin.readline().rstrip("\r\n")
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError("the secret cannot be read from it.", file=file) from error


@click.command()
@server_options
def logout(where: Where) -> None:
    """End the token that is in use, in every process of the server."""
    with where.client() as client:
        client.logout()
    print_line("logged out")


@click.command()
@click.option(
    "--secret-file",
    default="",
    metavar="FILE",
    help="Read the secret that counts now from a file (-: standard input).",
)
@click.option("--new-secret-file", default="", metavar="FILE", help="Read the new one from a file.")
@server_options
def password(where: Where, secret_file: str, new_secret_file: str) -> None:
    """Change your secret. Every other login and every access token of yours ends."""
    old = _secret(secret_file)
    if new_secret_file:
        new = _secret(new_secret_file)
    else:
        new = click.prompt("new secret", hide_input=True, confirmation_prompt=True)
    with where.client() as client:
        client.change_password(old, new)
    print_line("the secret is changed; every other login and access token of yours has ended")
