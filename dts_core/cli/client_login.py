"""`dts login` and `dts logout`."""

from pathlib import Path

import rich_click as click

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
    help="Read the secret from a file; else it is asked for.",
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
    from dts_core.clients.endpoint import Context, read_contexts, write_contexts

    secret = _secret(secret_file)
    with SyncClient(url, verify=ca) as client:
        answer = client.login(user, secret, hours=hours)
        address = client.url
    name = context or (urlsplit(address).hostname or "default")
    known = read_contexts()
    known.contexts[name] = Context(url=address, user=answer.user, token=answer.token, ca=ca)
    known.current = name
    write_contexts(known)
    until = answer.expires_at.astimezone()
    print_line(
        f"logged in as {clean(answer.user)} ({clean(answer.role)}) until {until:%Y-%m-%d %H:%M};"
        f" context {clean(name)}"
    )


def _secret(secret_file: str) -> str:
    from dts_core.errors import ConfigError

    if not secret_file:
        answer: str = click.prompt("secret", hide_input=True)
        return answer
    try:
        return Path(secret_file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError("the secret cannot be read from it.", file=secret_file) from error


@click.command()
@server_options
def logout(where: Where) -> None:
    """End the token that is in use, in every process of the server."""
    with where.client() as client:
        client.logout()
    print_line("logged out")
