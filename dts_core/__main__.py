"""`python -m dts_core` is the command `dts`."""

from dts_core.cli import main

if __name__ == "__main__":
    main()
