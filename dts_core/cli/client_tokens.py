"""`dts token`: access tokens for one's own programs."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from dts_core.cli.client_common import (
    Where,
    age,
    print_json,
    print_line,
    print_table,
    server_options,
)
from dts_core.text import clean

if TYPE_CHECKING:
    from dts_core.views import TokenMade, TokenPage, TokenView

F = TypeVar("F", bound=Callable[..., Any])


def token_options(command: F) -> F:
    """What a new token is: NAME, --scope, --days, --namespace."""
    options = [
        click.argument("name", metavar="NAME"),
        click.option(
            "--scope",
            required=True,
            type=click.Choice(["read", "submit", "operate", "admin"]),
            help="What it allows at most; never more than its user may.",
        ),
        click.option("--days", required=True, type=float, help="How long it counts."),
        click.option(
            "--namespace", "namespaces", multiple=True, metavar="NAME", help="Only in these."
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@click.group()
def token() -> None:
    """Access tokens for your programs: each with a name, a scope and an end."""


@token.command()
@token_options
@server_options
def create(where: Where, name: str, scope: Any, days: float, namespaces: Sequence[str]) -> None:
    """Make one. It is printed once, alone on standard output, and kept nowhere.

    \b
    Examples:
      dts token create nightly --scope submit --days 90 --namespace etl > nightly.token
      DTS_URL=https://dts.example:7117 DTS_TOKEN=$(cat nightly.token) dts submit etl/load
    """  # noqa: D301 - below \b click keeps the lines
    with where.client() as client:
        made = client.tokens.add(name, scope=scope, days=days, namespaces=namespaces or None)
    print_made(where, made)


@token.command("list")
@click.option("--logins", is_flag=True, help="Logins too.")
@server_options
def list_tokens(where: Where, logins: bool) -> None:
    """List those that count."""
    with where.client() as client:
        print_tokens(where, every(lambda at: client.tokens.list(logins=logins, cursor=at)))


@token.command()
@click.argument("ids", metavar="ID...", nargs=-1)
@click.option("--all", "all_of_them", is_flag=True, help="All access tokens of yours.")
@click.option("--logins", is_flag=True, help="With --all: your other logins too.")
@server_options
def revoke(where: Where, ids: Sequence[str], all_of_them: bool, logins: bool) -> None:
    """End tokens everywhere within a second; the one that asks stays with --all."""
    check_choice(ids, all_of_them)
    with where.client() as client:
        if all_of_them:
            print_revoked(where, client.tokens.revoke_all(logins=logins).revoked)
            return
        print_ended(where, [client.tokens.revoke(each) for each in ids])


def check_choice(ids: Sequence[str], is_all: bool) -> None:
    """Let pass either ids or all of them. Raises UsageError."""
    if bool(ids) == is_all:
        raise click.UsageError("name the tokens, or all of them.")


def every(page: "Callable[[str], TokenPage]") -> "list[TokenView]":
    """The tokens of all pages, by cursor."""
    found = page("")
    tokens = list(found.items)
    while found.next:
        found = page(found.next)
        tokens += found.items
    return tokens


def print_made(where: Where, made: "TokenMade") -> None:
    """The token alone on standard output, what is to be known of it beside."""
    if where.as_json:
        print_json(made)
        return
    until = f"{made.expires_at.astimezone():%Y-%m-%d %H:%M}"
    click.echo(
        f"token {clean(made.id, 40)} of {clean(made.user, 120)}, {clean(made.scope, 20)}, until {until};"
        " it is not shown again",
        err=True,
    )
    print_line(made.token)


def print_tokens(where: Where, tokens: "Sequence[TokenView]") -> None:
    """A table of tokens; logins have neither name nor scope."""
    if where.as_json:
        print_json(tokens)
        return
    rows = [
        (
            f"{each.id}{' *' if each.current else ''}",
            each.user,
            each.name or "(login)",
            each.scope,
            "all" if each.namespaces is None else ",".join(each.namespaces),
            age(each.created_at),
            f"{each.expires_at.astimezone():%Y-%m-%d %H:%M}",
            age(each.last_used_at) if each.last_used_at else "",
        )
        for each in tokens
    ]
    print_table(
        ("ID", "USER", "NAME", "SCOPE", "NAMESPACES", "CREATED", "EXPIRES", "LAST USED"), rows
    )


def print_ended(where: Where, ended: "Sequence[TokenView]") -> None:
    """What was revoked, a line each."""
    if where.as_json:
        print_json(ended)
        return
    for each in ended:
        print_line(f"revoked {clean(each.id, 40)} {clean(each.name or '(login)', 120)}")


def print_revoked(where: Where, count: int) -> None:
    """How many were revoked."""
    if where.as_json:
        print_json({"revoked": count})
    else:
        print_line(f"revoked {count}")
