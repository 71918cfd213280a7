"""Where the files of etc/ are: beside the package in a checkout, inside it once installed."""

from pathlib import Path

__all__ = ["etc_folder"]


def etc_folder() -> Path:
    """Return the folder with the configuration samples and `functions/`.

    Returns:
        An existing folder, to be read only. In an installed wheel it is `dts_core/_etc`.
    """
    package = Path(__file__).resolve().parent
    for folder in (package / "_etc", package.parent / "etc"):
        if (folder / "functions").is_dir():
            return folder
    raise FileNotFoundError(f"etc/functions is missing beside {package}: install dts again")
