"""`dts admin tokens`: access tokens of all users."""

from collections.abc import Sequence
from typing import Any

import click

from dts_core.cli.client_common import Where, server_options
from dts_core.cli.client_tokens import (
    check_choice,
    every,
    print_ended,
    print_made,
    print_revoked,
    print_tokens,
    token_options,
)


@click.group()
def tokens() -> None:
    """Access tokens of all users."""


@tokens.command()
@click.argument("user", metavar="USER")
@token_options
@server_options
def create(
    where: Where, user: str, name: str, scope: Any, days: float, namespaces: Sequence[str]
) -> None:
    """Make one for a user, who may stand for a program. It is printed once and kept nowhere."""
    with where.client() as client:
        made = client.user_tokens.add(
            user, name, scope=scope, days=days, namespaces=namespaces or None
        )
    print_made(where, made)


@tokens.command("list")
@click.option("--user", default="", metavar="NAME", help="Only of this one.")
@click.option("--logins", is_flag=True, help="Logins too.")
@server_options
def list_tokens(where: Where, user: str, logins: bool) -> None:
    """List those that count."""
    with where.client() as client:
        found = every(lambda at: client.user_tokens.list(user=user, logins=logins, cursor=at))
    print_tokens(where, found)


@tokens.command()
@click.argument("ids", metavar="ID...", nargs=-1)
@click.option("--user", default="", metavar="NAME", help="All access tokens of this user.")
@click.option("--logins", is_flag=True, help="With --user: their logins too.")
@server_options
def revoke(where: Where, ids: Sequence[str], user: str, logins: bool) -> None:
    """End tokens everywhere within a second."""
    check_choice(ids, bool(user))
    with where.client() as client:
        if user:
            print_revoked(where, client.user_tokens.revoke_all(user, logins=logins).revoked)
            return
        print_ended(where, [client.user_tokens.revoke(each) for each in ids])
