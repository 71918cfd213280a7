"""Boxes of secret arguments: each opens for its own call alone, and nothing of it shows."""

from pathlib import Path

import msgspec
import pytest

from dts_core.errors import ConfigError, InvalidInput, KeyMissing, SealBroken, TooLarge
from dts_core.model import JobError, JobMessage, Sealed
from dts_core.sealed import Call, Opener, OpeningKey, Sealer, SealingKey, Secrets
from dts_core.sealed.boxes import SECRETS_MAX
from dts_core.sealed.files import add_key, parse_keys, read_keys, read_opening_keys
from dts_core.stores import fields
from tests.support.jobs import make_job

KEY = OpeningKey.new()
OTHER = OpeningKey.new()
SECRET = "hunter2 of 'the' \"host\"\nand a line"
CALL = Call(
    "ops/login", msgspec.json.encode(["db-1", SECRET]), msgspec.json.encode({"pin": 12345, "n": 1})
)
PLACES = {"args/1": "password", "kwargs/pin": "pin"}


def sealed_call() -> tuple[Call, Sealed]:
    return Sealer([KEY.public]).seal(CALL, PLACES)


def test_a_call_comes_back_as_it_was() -> None:
    """What is left of it shows stars, its box nothing; the same secrets make another box each time."""
    masked, sealed = sealed_call()
    assert (masked.args, masked.kwargs) == (b'["db-1","***"]', b'{"pin":"***","n":1}')
    assert b"hunter2" not in sealed.box
    assert sealed.box != sealed_call()[1].box
    opened, secrets = Opener([OTHER, KEY]).open(masked, sealed)
    assert opened == CALL
    assert secrets == [msgspec.json.encode(SECRET), b"12345"]


def test_numbers_that_no_float_holds_stay_as_they_are() -> None:
    """Arguments are moved as the JSON that was sent, sealed or not."""
    args = b"[123456789012345678901234567890,0.1000000000000000055511151231257827]"
    masked, sealed = Sealer([KEY.public]).seal(Call("ops/f", args, b"{}"), {"args/1": "x"})
    assert masked.args == b'[123456789012345678901234567890,"***"]'
    assert Opener([KEY]).open(masked, sealed)[0].args == args


@pytest.mark.parametrize(
    ("call", "sealed"),
    [
        ({"function": "eve/login"}, {}),
        ({"function": "ops/other"}, {}),
        ({"args": b'["evil-host","***"]'}, {}),
        ({"kwargs": b'{"pin":"***","n":2}'}, {}),
        ({"args": b'["***","db-1"]'}, {"places": {"args/0": "password", "kwargs/pin": "pin"}}),
        ({}, {"places": {"args/1": "host", "kwargs/pin": "pin"}}),
        ({}, {"places": {"args/1": "password"}}),
        ({}, {"box": bytes(100)}),
        ({}, {"box": b""}),
    ],
    ids=["namespace", "name", "host", "option", "place", "parameter", "less", "forged", "empty"],
)
def test_a_box_opens_for_no_other_call(call: dict[str, bytes], sealed: dict[str, object]) -> None:
    """Whoever gets hold of a box cannot have it opened in a function, at a place, beside arguments of their own."""
    masked, found = sealed_call()
    forged = msgspec.structs.replace(masked, **call)
    with pytest.raises(SealBroken) as caught:
        Opener([KEY]).open(forged, msgspec.structs.replace(found, **sealed))
    assert "hunter2" not in str(caught.value)


def test_a_box_is_opened_by_its_key_alone() -> None:
    """Another key does not, and is told by the id of the one that would."""
    masked, sealed = sealed_call()
    with pytest.raises(KeyMissing, match=KEY.public.id):
        Opener([OTHER]).open(masked, sealed)
    renamed = msgspec.structs.replace(sealed, key=OTHER.public.id)
    with pytest.raises(SealBroken):
        Opener([OTHER, KEY]).open(masked, renamed)


def test_the_length_of_a_secret_is_not_told() -> None:
    """Passwords of usual lengths make boxes of one size."""
    sealer = Sealer([KEY.public])
    sizes = {
        len(sealer.seal(Call("a/b", msgspec.json.encode(["x" * n]), b"{}"), {"args/0": "p"})[1].box)
        for n in (1, 8, 14)
    }
    assert len(sizes) == 1


def test_secrets_have_a_bound() -> None:
    """A box does not deflate, so a message could not carry one of any size."""
    args = msgspec.json.encode(["x" * SECRETS_MAX])
    with pytest.raises(TooLarge, match="secret arguments"):
        Sealer([KEY.public]).seal(Call("a/b", args, b"{}"), {"args/0": "p"})


def test_a_namespace_may_have_a_key_of_its_own() -> None:
    """A worker that does not have that key opens nothing of it; without any key nothing is sealed."""
    own = SealingKey.parse(f"{OTHER.public} ops")
    sealer = Sealer([KEY.public, own])
    assert sealer.seal(CALL, PLACES)[1].key == OTHER.public.id
    elsewhere = msgspec.structs.replace(CALL, function="sample/login")
    assert sealer.seal(elsewhere, PLACES)[1].key == KEY.public.id
    with pytest.raises(InvalidInput, match="no key for the secret arguments of sample/login"):
        Sealer([own]).seal(elsewhere, PLACES)


def test_files_of_keys_are_private_and_rotate(tmp_path: Path) -> None:
    """A new key stands first; the former still opens; others may not read; no message repeats a line."""
    path = tmp_path / "arguments.key"
    first = add_key(path)
    second = add_key(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.public.id for each in read_opening_keys(path)] == [
        second.public.id,
        first.public.id,
    ]
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="others may read"):
        read_opening_keys(path)
    path.chmod(0o600)
    path.write_text(first.written()[:-5])
    with pytest.raises(ConfigError) as caught:
        read_opening_keys(path)
    assert first.written()[16:40] not in str(caught.value)
    with pytest.raises(ConfigError) as misplaced:
        parse_keys([first.written()])
    assert first.written()[16:40] not in str(misplaced.value)
    assert first.written()[16:40] not in repr(first)


def test_public_keys_that_others_may_write_are_refused(tmp_path: Path) -> None:
    """Who writes that file could have secrets sealed to a key of their own."""
    path, made = tmp_path / "arguments.pub", OpeningKey.new()
    path.write_text(f"# ours\n{made.public}\n")
    path.chmod(0o644)
    assert [each.id for each in read_keys(path)] == [made.public.id]
    path.chmod(0o664)
    with pytest.raises(ConfigError, match=r"others may write it, and so have secrets sealed"):
        read_keys(path)


def test_what_a_run_says_is_said_without_its_secrets() -> None:
    """In the forms that logs and tracebacks show a text in, until the job is over."""
    masked, sealed = sealed_call()
    message = JobMessage(
        "j1", masked.function, "0" * 64, False, masked.args, masked.kwargs, 1, sealed=sealed
    )
    secrets = Secrets(Opener([KEY]))
    assert tuple(secrets.open(message)) == (CALL.args, CALL.kwargs)
    for text in (
        SECRET,
        repr(SECRET),
        msgspec.json.encode(SECRET).decode(),
        "hunter2 of 'the' \"host\"",
        "pin=12345",
    ):
        said = secrets.veil("j1", f"it was {text}!")
        assert "hunter2" not in said
        assert "12345" not in said
        assert "***" in said
        assert secrets.veil_all(text) != text
    error = secrets.veil_error("j1", JobError(type="E", message=SECRET, traceback=f"x {SECRET!r}"))
    assert error is not None
    assert "hunter2" not in error.message + error.traceback
    assert secrets.veil("j2", SECRET) == SECRET
    secrets.forget("j1")
    assert secrets.veil("j1", SECRET) == SECRET


def test_a_record_of_before_has_no_secrets() -> None:
    """Jobs that an older version stored, and messages that it sent, are read as they were."""
    fixed = msgspec.msgpack.decode(fields.fixed_of(make_job(args=b"[1]")))
    kept = {"id": "j", "function": "a/b"}
    job = fields.job_from(msgspec.msgpack.encode(fixed[:14]), **kept)
    assert (job.args, job.sealed) == (b"[1]", None)
    message = msgspec.msgpack.encode(["j", "a/b", "0" * 64, False, b"[]", b"{}", 1])
    assert msgspec.msgpack.decode(message, type=JobMessage).sealed is None
