"""The vault: what is sealed opens with its key and in its place alone; its keys stay private; secrets print nothing."""

import copy
import json
import os
import stat
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dts_core.errors import ConfigError, KeyMissing, SealBroken, VaultError
from dts_core.settings import VaultSettings
from dts_core.vault import KeyFile, Place, Secret, Vault, key_of, new_key
from dts_core.wiring.vault import open_vault

PLACE = Place("vhosts", "web-1", "sealed_key")
NAMES = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=12)
QUICK = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture
def file(tmp_path: Path) -> KeyFile:
    return KeyFile.made(tmp_path / "vault.key")


@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=400))
@QUICK
def test_what_is_sealed_opens(file: KeyFile, text: str) -> None:
    """Any text comes back, and two sealings of one text have nothing in common but the key's id."""
    vault = Vault(file)
    one, two = (vault.seal(Secret(text), PLACE) for _ in range(2))
    assert vault.open(one, PLACE).reveal() == vault.open(two, PLACE).reveal() == text
    assert key_of(one) == key_of(two) == vault.ring.first.id
    assert one[7:] != two[7:]


@given(at=st.integers(0, 200), bit=st.integers(0, 7))
@QUICK
def test_any_changed_bit_is_refused(file: KeyFile, at: int, bit: int) -> None:
    """Of format, key id, nonce, content or tag: an altered value opens never, whatever the error is called."""
    vault = Vault(file)
    sealed = bytearray(vault.seal(Secret("canary"), PLACE))
    sealed[at % len(sealed)] ^= 1 << bit
    with pytest.raises(VaultError) as told:
        vault.open(bytes(sealed), PLACE)
    assert "canary" not in str(told.value)


@given(cut=st.integers(0, 98))
@QUICK
def test_a_cut_value_is_refused(file: KeyFile, cut: int) -> None:
    """Half a value is none."""
    vault = Vault(file)
    sealed = vault.seal(Secret("canary"), PLACE)
    with pytest.raises(SealBroken):
        vault.open(sealed[:cut], PLACE)


@given(parts=st.tuples(NAMES, NAMES, NAMES), others=st.tuples(NAMES, NAMES, NAMES))
@QUICK
def test_a_moved_value_is_refused(
    file: KeyFile, parts: tuple[str, str, str], others: tuple[str, str, str]
) -> None:
    """In another collection, document or field it does not open, also where the names joined are the same."""
    vault = Vault(file)
    sealed = vault.seal(Secret("canary"), Place(*parts))
    if parts == others:
        assert vault.open(sealed, Place(*others)).reveal() == "canary"
        return
    with pytest.raises(SealBroken):
        vault.open(sealed, Place(*others))


def test_names_that_join_alike_are_different_places(file: KeyFile) -> None:
    """The parts of a place carry their lengths."""
    vault = Vault(file)
    sealed = vault.seal(Secret("x"), Place("a", "bc", "d"))
    with pytest.raises(SealBroken):
        vault.open(sealed, Place("ab", "c", "d"))


def test_another_key_does_not_open(tmp_path: Path, file: KeyFile) -> None:
    """A value of an unknown key is told by the key's id; one relabelled to a known key is broken."""
    other = Vault(KeyFile.made(tmp_path / "other.key"))
    sealed = other.seal(Secret("canary"), PLACE)
    vault = Vault(file)
    with pytest.raises(KeyMissing, match=other.ring.first.id):
        vault.open(sealed, PLACE)
    relabelled = sealed[:1] + bytes.fromhex(vault.ring.first.id) + sealed[7:]
    with pytest.raises(SealBroken):
        vault.open(relabelled, PLACE)


def test_the_first_key_seals_and_every_key_opens(file: KeyFile) -> None:
    """A key put first takes over; one put last only opens; values of the others go on to open."""
    vault = Vault(file)
    old = vault.seal(Secret("old"), PLACE)
    first, last = new_key(), new_key()
    file.add(first, is_first=True)
    file.add(last, is_first=False)
    new = vault.seal(Secret("new"), PLACE)
    assert (key_of(new), vault.is_fresh(new), vault.is_fresh(old)) == (first.id, True, False)
    again = Vault(KeyFile(file.path))
    assert [again.open(each, PLACE).reveal() for each in (old, new)] == ["old", "new"]
    assert [key.id for key in again.ring.keys] == [first.id, key_of(old), last.id]


def test_a_key_that_was_added_since_is_found(file: KeyFile) -> None:
    """A server need not be started anew for a key that an administrator has put into its file."""
    running = Vault(file)
    KeyFile(file.path).add(new_key(), is_first=True)
    sealed = Vault(KeyFile(file.path)).seal(Secret("new"), PLACE)
    assert running.open(sealed, PLACE).reveal() == "new"
    old = running.ring
    file.path.unlink()
    foreign = sealed[:1] + b"\xff" * 6 + sealed[7:]
    with pytest.raises(KeyMissing):
        running.open(foreign, PLACE)
    assert running.ring == old


def test_length_of_a_secret_is_not_told(file: KeyFile) -> None:
    """Passwords of one letter and of sixty are of one size when they are sealed."""
    vault = Vault(file)
    assert len(vault.seal(Secret("x"), PLACE)) == len(vault.seal(Secret("x" * 60), PLACE))


# --- the key file ---------------------------------------------------------------------------------


def test_a_made_file_is_private_and_stays(tmp_path: Path) -> None:
    """Mode 0600 whatever the umask is; a second start finds the same key."""
    before = os.umask(0)
    try:
        made = KeyFile.made(tmp_path / "vault.key")
    finally:
        os.umask(before)
    assert stat.S_IMODE(made.path.stat().st_mode) == 0o600
    assert KeyFile.made(made.path).ring == made.ring
    made.add(new_key(), is_first=True)
    assert stat.S_IMODE(made.path.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["vault.key"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o666])
def test_a_file_that_others_reach_is_refused(file: KeyFile, mode: int) -> None:
    """Whatever others may do with it; told is what to do, and nothing of its content."""
    file.path.chmod(mode)
    with pytest.raises(ConfigError) as told:
        KeyFile(file.path)
    assert f"mode {mode:04o}" in str(told.value)
    assert f"chmod 600 {file.path}" in str(told.value)
    assert file.path.read_text().split()[-1] not in str(told.value)


def test_a_link_or_a_folder_is_no_key_file(tmp_path: Path, file: KeyFile) -> None:
    """Nobody leads the server to another file by a link."""
    link = tmp_path / "link.key"
    link.symlink_to(file.path)
    for path in (link, tmp_path):
        with pytest.raises(ConfigError):
            KeyFile(path)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda text: "", "holds 0 keys"),
        (lambda text: text + text.splitlines()[-1] + "\n", "repeats"),
        (lambda text: text[:-3] + "\n", "damaged"),
        (lambda text: text + "not a key at all\n", "no key"),
        (lambda text: text.replace(text.splitlines()[-1][:12], "0" * 12), "damaged"),
    ],
)
def test_a_damaged_file_is_refused_without_its_content(
    file: KeyFile, spoil: object, told: str
) -> None:
    """The line's number is told, never what stands in it; an id that is not its key's is damage."""
    text = file.path.read_text()
    assert callable(spoil)
    file.path.write_text(spoil(text))
    with pytest.raises(ConfigError, match=told) as error:
        KeyFile(file.path)
    assert text.split()[-1] not in str(error.value)


def test_adding_that_fails_leaves_the_file(file: KeyFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full: the keys that were there are there, on the disk and in memory."""

    def full(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    before, ring = file.path.read_bytes(), file.ring
    monkeypatch.setattr("dts_core.vault.keyfile.write_private", full)
    with pytest.raises(ConfigError, match="No space left"):
        file.add(new_key(), is_first=True)
    assert (file.path.read_bytes(), file.read()) == (before, ring)


def test_a_named_file_is_never_made(tmp_path: Path) -> None:
    """A server that lost its keys says so; only without a name, and alone on its store, it makes one in its folder."""
    named = VaultSettings(key_file=str(tmp_path / "keys" / "vault.key"))
    with pytest.raises(ConfigError, match="not there"):
        open_vault(named, tmp_path)
    assert open_vault(VaultSettings(), tmp_path, is_shared=True) is None
    assert list(tmp_path.iterdir()) == []
    made = open_vault(VaultSettings(), tmp_path)
    assert made is not None
    assert made.file.path == tmp_path / "vault.key"


# --- an opened secret -----------------------------------------------------------------------------


def test_a_secret_prints_nothing() -> None:
    """Neither by print, format, log, error nor as a part of something else."""
    secret = Secret("canary")
    shown = [str(secret), repr(secret), f"{secret}", f"{secret!r:>40}", f"{[secret]} {secret:>20}"]
    shown += [str(ValueError(secret)), repr({"key": secret}), f"{secret} {secret!r}"]
    assert not any("canary" in each for each in shown)
    assert secret.reveal() == "canary"
    assert not hasattr(secret, "__dict__")


def test_a_secret_is_not_packed() -> None:
    """No encoder takes it, so that it cannot be stored or answered by mistake."""
    secret = Secret("canary")
    for pack in (msgspec.json.encode, msgspec.msgpack.encode, msgspec.to_builtins, json.dumps):
        with pytest.raises(TypeError) as told:
            pack(secret)
        assert "canary" not in str(told.value)
    with pytest.raises(TypeError):
        copy.copy(secret)  # by the way of pickle


def test_secrets_compare_by_their_text() -> None:
    """And are not hashable: a table of them would tell which are the same."""
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert not Secret("")
    with pytest.raises(TypeError):
        hash(Secret("a"))


def test_a_key_prints_its_id_alone(file: KeyFile) -> None:
    """Neither the ring nor a key shows its material."""
    shown = f"{file.ring!r} {file.ring.first}"
    assert file.ring.first.id in shown
    assert "material" not in shown
