"""schemathesis over the whole description of the interface; `attacking` runs it, `hooks` is what it loads."""

from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
PROGRAM: Final = HERE.parents[2] / ".venv-fuzz" / "bin" / "schemathesis"
ADVICE: Final = "make fuzz-tools"


def available() -> bool:
    """Whether schemathesis is installed in its own environment."""
    return PROGRAM.exists()
