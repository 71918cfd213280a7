"""Files of a person that several commands change, and files that hold what others must not read."""

import subprocess
import sys
from pathlib import Path

import pytest

from dts_core.cli.admin_output import read_secret_file, read_small_file
from dts_core.clients.endpoint import Context, changed_contexts, read_contexts, remove_context
from dts_core.errors import ConfigError
from dts_core.filelock import only_one
from tests.support.processes import environment

LOGIN = """
import sys
from pathlib import Path
from dts_core.clients.endpoint import Context, changed_contexts
for number in range(20):
    with changed_contexts(Path(sys.argv[1])) as known:
        known.contexts[f"{sys.argv[2]}{number}"] = Context(url="http://s", user="u", token="t")
"""


def test_two_that_change_the_contexts_at_once_lose_nothing(tmp_path: Path) -> None:
    """Each waits for the other: what both wrote is there."""
    file = tmp_path / "contexts.json"
    both = [
        subprocess.Popen([sys.executable, "-c", LOGIN, str(file), name], env=environment(tmp_path))
        for name in "ab"
    ]
    assert [each.wait(60) for each in both] == [0, 0]
    wanted = {f"{name}{number}" for name in "ab" for number in range(20)}
    assert read_contexts(file).contexts.keys() == wanted


def test_a_change_that_fails_leaves_the_contexts_as_they_were(tmp_path: Path) -> None:
    """And lets the next one in."""
    file = tmp_path / "contexts.json"
    with changed_contexts(file) as known:
        known.contexts["a"] = Context(url="http://s", user="u", token="t")
    with pytest.raises(ConfigError, match="there is no context"), changed_contexts(file) as known:
        remove_context(known, known.contexts.popitem()[0])
    with changed_contexts(file) as known:
        assert list(known.contexts) == ["a"]


def test_a_lock_that_is_held_is_waited_for_and_then_named(tmp_path: Path) -> None:
    """The wait has an end, and the error says which file it was and what to do."""
    file = tmp_path / "lock"
    with only_one(file):
        with (
            pytest.raises(ConfigError, match="another process has held") as told,
            only_one(file, seconds=0.05),
        ):
            pass
        assert str(file) in str(told.value)
    with only_one(file, seconds=0.05):
        assert file.stat().st_mode & 0o777 == 0o600


def test_the_clients_load_where_there_is_no_fcntl() -> None:
    """As on Windows: neither the module of the key file nor the clients need it to be loaded."""
    script = (
        "import sys; sys.modules['fcntl'] = None\n"
        "import dts_core.vault.keyfile, dts_core.filelock, dts_core.clients.endpoint\n"
        "print('loaded')"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, "loaded\n"), done.stderr


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_a_secret_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    """The error says what to do and nothing of the content; a public file may be anybody's."""
    file = tmp_path / "secret"
    file.write_text("the secret itself\n")
    file.chmod(mode)
    with pytest.raises(ConfigError, match="chmod 600") as told:
        read_secret_file(file)
    assert str(file) in str(told.value)
    assert "itself" not in str(told.value)
    assert read_small_file(file) == "the secret itself\n"
    file.chmod(0o600)
    assert read_secret_file(file) == "the secret itself\n"
