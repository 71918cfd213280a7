"""The `dts` command."""

__all__ = ["main"]


def main() -> None:
    """Run the command line of this process and exit with its status."""
    from dts_core.cli.entry import run

    run()
