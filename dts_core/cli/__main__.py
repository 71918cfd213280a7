"""`python -m dts_core.cli`, where the script is not on the path."""

from dts_core.cli import main

if __name__ == "__main__":
    main()
