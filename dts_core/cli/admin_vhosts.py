"""`dts admin vhosts`: virtual hosts. What is secret comes from a file or a prompt, never from the command line."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from dts_core.cli.admin_output import print_toml, read_secret_file, read_small_file, written_line
from dts_core.cli.client_common import (
    Where,
    print_json,
    print_line,
    print_table,
    server_options,
)
from dts_core.text import clean

if TYPE_CHECKING:
    from collections.abc import Callable

    from dts_core.views import VhostDocument

FILE = click.Path(path_type=Path, dir_okay=False)


@click.group()
def vhosts() -> None:
    """Virtual hosts: machines reached by SSH, with what it takes to log in there."""


def host_options(command: Any) -> Any:
    """The options that tell of a virtual host."""
    options: list[Callable[[Any], Any]] = [
        click.option("--address", metavar="HOST", help="Host name or IP address."),
        click.option("--port", type=click.IntRange(1, 65535), metavar="N", help="[22]"),
        click.option("--user", metavar="NAME", help="Login name there."),
        click.option(
            "--auth",
            type=click.Choice(["key", "agent", "password", "certificate", "ask"]),
            help="How to log in; left out, as what is given asks for.",
        ),
        click.option(
            "--key-file", type=FILE, metavar="FILE", help="Private key; stored encrypted."
        ),
        click.option("--ask-passphrase", is_flag=True, help="Ask for the key's passphrase."),
        click.option("--passphrase-file", type=FILE, metavar="FILE", help="Or read it from there."),
        click.option("--ask-password", is_flag=True, help="Ask for the password."),
        click.option("--password-file", type=FILE, metavar="FILE", help="Or read it from there."),
        click.option(
            "--certificate-file", type=FILE, metavar="FILE", help="The user's *-cert.pub."
        ),
        click.option(
            "--known-host-file",
            type=FILE,
            metavar="FILE",
            help="The host's public keys, as ssh-keyscan prints them.",
        ),
        click.option("--jump", metavar="ID", help="Virtual host that the way leads through."),
        click.option(
            "--label", "labels", multiple=True, metavar="NAME=VALUE", help="Any number; all anew."
        ),
        click.option(
            "--reference",
            "references",
            multiple=True,
            metavar="FIELD=FILE",
            help="Password or passphrase from a file of the server's [vault] secrets_dir; all anew.",
        ),
        click.option("--python", metavar="PATH", help="Interpreter there. [python3]"),
        click.option("--mode", type=click.Choice(["service", "agent"]), help="[service]"),
        click.option(
            "--shell-user",
            "shell_users",
            multiple=True,
            metavar="USER",
            help="Who may open a shell there, beside administrators; all anew.",
        ),
        click.option("--description", metavar="TEXT", help="What it is."),
        click.option("--disabled/--enabled", default=None, help="Whether it is left alone."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@vhosts.command("list")
@click.option("--toml", "as_toml", is_flag=True, help="Print TOML.")
@server_options
def list_(where: Where, as_toml: bool) -> None:
    """List virtual hosts; nothing secret is shown."""
    items: list[VhostDocument] = []
    with where.client() as client:
        page = client.vhosts.list()
        items += page.items
        while page.next:
            page = client.vhosts.list(cursor=page.next)
            items += page.items
    if where.as_json:
        print_json({"items": items})
    elif as_toml:
        print_toml({"vhosts": msgspec.to_builtins(items)})
    else:
        header = ("VHOST", "ADDRESS", "USER", "AUTH", "KEY", "PINNED", "JUMP", "MODE", "LABELS")
        print_table(header, [_row(each) for each in items])


def _row(vhost: "VhostDocument") -> tuple[Any, ...]:
    labels = ",".join(f"{name}={value}" for name, value in vhost["labels"].items())
    state = " (disabled)" if vhost["disabled"] else ""
    return (
        f"{vhost['_id']}{state}",
        f"{vhost['address']}:{vhost['port']}",
        vhost["user"],
        vhost["auth"],
        vhost["key_fingerprint"] or ("yes" if vhost["has_key"] else "-"),
        len(vhost["known_host_fingerprints"]) or "-",
        vhost["jump"] or "-",
        vhost["mode"],
        labels or "-",
    )


@vhosts.command()
@click.argument("vhost", metavar="ID")
@click.option("--toml", "as_toml", is_flag=True, help="Print TOML.")
@server_options
def show(where: Where, vhost: str, as_toml: bool) -> None:
    """Show a virtual host; of its secrets, whether they are there."""
    with where.client() as client:
        found = client.vhosts.get(vhost)
    if where.as_json:
        print_json(found)
    elif as_toml:
        print_toml(msgspec.to_builtins(found))
    else:
        for name, value in found.items():
            shown = ", ".join(map(str, value)) if isinstance(value, list) else value
            print_line(f"{name:<24} {clean(str(shown), 4000)}")


@vhosts.command()
@click.argument("vhost", metavar="ID")
@host_options
@server_options
def add(where: Where, vhost: str, **given: Any) -> None:
    """Create a virtual host.

    \b
    Examples:
      dts admin vhosts add web-1 --address web-1.example.org --user deploy --key-file deploy.pem
      dts admin vhosts add db-1 --address 10.0.0.7 --user root --ask-password --jump web-1
    """  # noqa: D301 - below \b click keeps the lines
    fields = host_fields(given)
    with where.client() as client:
        written = client.vhosts.add(vhost, **fields)
    written_line(where, written)


@vhosts.command("set")
@click.argument("vhost", metavar="ID")
@host_options
@click.option(
    "--forget",
    multiple=True,
    type=click.Choice(
        [
            "key",
            "passphrase",
            "password",
            "certificate",
            "known-host",
            "jump",
            "references",
            "shell-users",
        ]
    ),
    help="Take this away.",
)
@click.option(
    "--revision", type=click.IntRange(0), default=0, metavar="N", help="Only if it is still this."
)
@server_options
def set_(where: Where, vhost: str, forget: tuple[str, ...], revision: int, **given: Any) -> None:
    """Change a virtual host; what is not given stays.

    \b
    Example:
      dts admin vhosts set web-1 --key-file new.pem --label role=web
    """  # noqa: D301 - below \b click keeps the lines
    fields = _forgotten(forget) | host_fields(given)
    if not fields:
        raise click.UsageError("Give what is to be changed.")
    if revision:
        fields["revision"] = revision
    with where.client() as client:
        written = client.vhosts.update(vhost, **fields)
    written_line(where, written)


@vhosts.command()
@click.argument("vhost", metavar="ID")
@click.option("--yes", is_flag=True, help="Do not ask.")
@server_options
def delete(where: Where, vhost: str, yes: bool) -> None:
    """Remove a virtual host, with its secrets."""
    if not yes:
        click.confirm(f"Remove virtual host {clean(vhost, 120)} with its secrets?", abort=True)
    with where.client() as client:
        written = client.vhosts.delete(vhost)
    written_line(where, written)


def _forgotten(names: tuple[str, ...]) -> dict[str, Any]:
    fields: dict[str, tuple[str, Any]] = {
        "key": ("ssh_pem_cert", None),
        "passphrase": ("key_passphrase", None),
        "password": ("password", None),
        "certificate": ("certificate", ""),
        "known-host": ("known_host_key", ""),
        "jump": ("jump", ""),
        "references": ("references", {}),
        "shell-users": ("shell_users", []),
    }
    return dict(fields[name] for name in names)


def host_fields(given: dict[str, Any]) -> dict[str, Any]:
    """What the options give, as the API takes it; files are read and secrets asked for here."""
    plain = ("address", "port", "user", "auth", "jump", "python", "mode", "description", "disabled")
    body = {name: given[name] for name in plain if given[name] is not None}
    if given["labels"]:
        body["labels"] = _pairs("--label", given["labels"])
    if given["shell_users"]:
        body["shell_users"] = list(given["shell_users"])
    if given["references"]:
        words = {"passphrase": "key_passphrase"}
        named = _pairs("--reference", given["references"])
        body["references"] = {words.get(field, field): name for field, name in named.items()}
    if given["key_file"] is not None:
        body["ssh_pem_cert"] = read_secret_file(given["key_file"])
    for field, option in (
        ("certificate", "certificate_file"),
        ("known_host_key", "known_host_file"),
    ):
        if given[option] is not None:
            body[field] = read_small_file(given[option])
    for field, word in (("key_passphrase", "passphrase"), ("password", "password")):
        if given[f"{word}_file"] is not None:
            body[field] = read_secret_file(given[f"{word}_file"]).rstrip("\r\n")
        elif given[f"ask_{word}"]:
            body[field] = click.prompt(word, hide_input=True, err=True)
    return body


def _pairs(option: str, pairs: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise click.UsageError(f"{option} takes NAME=VALUE.")
        found[name] = value
    return found
