"""Tiny packages for tests, built without any tool."""

import hashlib
import zipfile
from base64 import urlsafe_b64encode
from pathlib import Path


def wheel(folder: Path, name: str, version: str, source: str, *needs: str) -> Path:
    """Write a wheel of one module into a folder; returns its file."""
    stem = f"{name}-{version}"
    told = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    files = {
        f"{name}.py": source,
        f"{stem}.dist-info/METADATA": told + "".join(f"Requires-Dist: {each}\n" for each in needs),
        f"{stem}.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: dts\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},{_digest(text)},{len(text)}\n" for path, text in files.items())
    files[f"{stem}.dist-info/RECORD"] = f"{record}{stem}.dist-info/RECORD,,\n"
    folder.mkdir(exist_ok=True)
    path = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name_within, text in files.items():
            archive.writestr(name_within, text)
    return path


def sha256(file: Path) -> str:
    """Of a wheel, as pip's --hash takes it."""
    return f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"


def _digest(text: str) -> str:
    return "sha256=" + urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip(
        "="
    )
