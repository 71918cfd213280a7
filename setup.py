"""Adds etc/ (configuration samples and sample functions) to the wheel as dts_core/_etc.

Everything else is in pyproject.toml. An editable install needs no copy: dts_core.resources
finds etc/ beside the package.
"""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithEtc(build_py):
    def run(self):
        super().run()
        if self.editable_mode:
            return
        target = Path(self.build_lib) / "dts_core" / "_etc"
        for source in sorted(Path("etc").rglob("*")):
            if source.is_file() and "__pycache__" not in source.parts:
                copy = target / source.relative_to("etc")
                self.mkpath(str(copy.parent))
                self.copy_file(str(source), str(copy))
        # With hashes, for hosts of another kind that get their wheels from here (`dts vhost init`).
        self.copy_file("requirements/runtime.txt", str(target / "requirements.txt"))


setup(cmdclass={"build_py": BuildWithEtc})
