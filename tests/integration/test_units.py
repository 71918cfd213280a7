"""The systemd units that ship, as systemd itself reads them, and as our commands understand them."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from dts_core.resources import etc_folder

UNITS = {
    "dts-server.service": "dts-server.service",
    "dts-daemon@.service": "dts-daemon@porter.service",
    "dts-worker.service": "dts-worker.service",
}
INSTALLED = "/opt/dts/bin/"


def text_of(unit: str) -> str:
    return (etc_folder() / "systemd" / unit).read_text("utf-8")


def verify(unit: Path) -> subprocess.CompletedProcess[str]:
    """What systemd says about a unit; another machine's units are not looked at."""
    return subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(unit)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PATH": "/usr/bin:/bin", "SYSTEMD_UNIT_PATH": f"{unit.parent}:"},
    )


@pytest.mark.external("systemd")
@pytest.mark.parametrize("unit", UNITS)
def test_unit_is_valid(tmp_path: Path, unit: str) -> None:
    """systemd finds nothing to say, about the unit with our commands where they are here."""
    here = f"{Path(sys.executable).parent}/"
    (tmp_path / unit).write_text(text_of(unit).replace(INSTALLED, here))
    (tmp_path / UNITS[unit]).write_text((tmp_path / unit).read_text())
    done = verify(tmp_path / UNITS[unit])
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.external("systemd")
def test_wrong_unit_is_told(tmp_path: Path) -> None:
    """The check can fail: a key that is not known, a command that is not there."""
    unit = tmp_path / "dts-worker.service"
    unit.write_text(text_of(unit.name).replace("WatchdogSec", "WatchdogSecs"))
    told = verify(unit).stderr
    assert "WatchdogSecs" in told
    assert "/opt/dts/bin/dts-worker is not executable" in told


@pytest.mark.parametrize("unit", UNITS)
def test_unit_promises_what_the_program_keeps(unit: str) -> None:
    """Every unit notifies, is watched, waits as long as it takes, stops gently, and gains no privileges."""
    text = text_of(unit)
    for line in (
        "Type=notify",
        "NotifyAccess=main",
        "TimeoutStartSec=infinity",
        "KillMode=mixed",
        "Restart=always",
        "NoNewPrivileges=yes",
        "CapabilityBoundingSet=",
        "ProtectSystem=strict",
        "UMask=0077",
    ):
        assert re.search(f"^{re.escape(line)}$", text, re.MULTILINE), line
    assert re.search(r"^WatchdogSec=\d+$", text, re.MULTILINE)
    assert not re.search(r"^User=root$", text, re.MULTILINE)


def test_sysusers_name_every_user() -> None:
    """Who a unit runs as is made by the file beside it."""
    made = set(re.findall(r"^u (\S+)", text_of("dts.sysusers"), re.MULTILINE))
    wanted = {
        name for unit in UNITS for name in re.findall(r"^User=(\S+)", text_of(unit), re.MULTILINE)
    }
    assert made == wanted
