"""`dts admin`: what administrators keep, a group for each collection."""

import click

from dts_core.cli.entry import LazyGroup
from dts_core.cli.table import ADMIN


@click.command(
    cls=LazyGroup,
    table=ADMIN,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
def admin() -> None:
    """Users, namespaces, virtual hosts, and the audit of every write."""
