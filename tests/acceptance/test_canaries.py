"""Every secret that the system takes, through a walk of right and wrong commands: it lies where it was given."""

import json
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from dts_core.clients.endpoint import local_endpoint
from tests.support.canaries import PASSWORD, Canaries, files_under
from tests.support.processes import Up, environment, up
from tests.support.sshkeys import PASSPHRASE

USER_SECRET = "Canary1 secret/of+a user"
SECOND_SECRET = "Canary2 secret/of+a user"
SMTP_PASSWORD = "Canary3 of the mail/server"
MISPLACED = "Canary4 typed into/another field!"
ARGUMENT = "Canary5 of an argument/of+a job"
KEY_FILES = ("admin.json", "arguments.key", "signing.key", "vault.key")
"""What holds secrets, and is there for nothing else."""
LOUD = """
from dts_core import Secret, job

def main(way: str, password: Secret, *more: Secret) -> int:
    print("got", password)
    job.logger.warning("got %r", password)
    job.progress(0.5, "as " + password)
    if way == "raise":
        raise ValueError("no entry for " + password)
    return len(password)
"""
"""Says its secret in every way but its result."""
CONFIG = """[notify.smtp]
host = "127.0.0.1"
port = 9
security = "tls"
user = "dts"
password_file = "{}"
sender = "dts@control.example.org"
"""


class Walk:
    """Commands of one stack; everything that they print is kept."""

    def __init__(self, folder: Path, stack: Up) -> None:
        self.folder = folder
        self.stack = stack
        self.given = folder / "given"
        self.printed: list[tuple[str, bytes]] = []

    def file(self, name: str, content: str) -> str:
        """A file of this user that a secret is given in."""
        self.given.mkdir(exist_ok=True)
        path = self.given / name
        path.write_text(content)
        path.chmod(0o600)
        return str(path)

    def run(self, *arguments: str, module: str = "dts_core.cli", status: int | None = 0) -> str:
        """Standard output of a command; `status` None takes any."""
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments],
            capture_output=True,
            timeout=120,
            check=False,
            env=environment(self.folder) | {"DTS_DATA": str(self.stack.data)},
        )
        self.printed.append((" ".join(arguments), done.stdout + done.stderr))
        assert status in (None, done.returncode), (arguments, done.stdout, done.stderr)
        assert b"Traceback" not in done.stderr
        return done.stdout.decode()

    def admin(self, *arguments: str, status: int | None = 0) -> str:
        """`dts admin ...`"""
        return self.run("admin", *arguments, status=status)

    def ask(
        self, method: str, path: str, *, token: str, kept: bool = True, **options: object
    ) -> httpx.Response:
        """A request; an answer that is not `kept` is the one that hands a token out."""
        endpoint = local_endpoint(self.stack.data)
        headers = {"Authorization": f"Bearer {token or endpoint.token}"}
        answer = httpx.request(method, endpoint.url + path, headers=headers, timeout=30, **options)  # type: ignore[arg-type]
        if kept:
            self.printed.append((f"{method} {path}", answer.content))
        return answer


def rightly(walk: Walk, canaries: Canaries) -> None:
    """Give every secret where it belongs, and look at what came of it in each way there is."""
    first, second = (
        walk.file("first", USER_SECRET + "\n"),
        walk.file("second", SECOND_SECRET + "\n"),
    )
    walk.admin("users", "add", "ann", "role=submitter", "--secret-file", first)
    walk.admin("users", "add", "eve", "role=viewer", "--secret-file", first, "--dry-run")
    walk.admin("users", "set", "ann", "--secret-file", second, "--dry-run")
    walk.admin("users", "set", "ann", "--secret-file", second)
    keys = [
        "--key-file", walk.file("closed.pem", canaries.closed_key),
        "--passphrase-file", walk.file("passphrase", PASSPHRASE + "\n"),
    ]  # fmt: skip
    walk.admin("vhosts", "add", "web-1", "--address", "192.0.2.7", "--user", "deploy", *keys)
    password = walk.file("password", PASSWORD + "\n")
    gate = ["--address", "192.0.2.8", "--user", "root", "--password-file", password]
    walk.admin("vhosts", "add", "gate", *gate)
    opened = walk.file("open.pem", canaries.open_key)
    walk.admin("vhosts", "add", "db-1", "--address", "db", "--user", "u", "--key-file", opened)
    login = {"user": "ann", "secret": SECOND_SECRET}
    token = walk.ask("POST", "/session", token="none", kept=False, json=login).json()["token"]
    canaries.add(token)
    asked = {"name": "ci", "scope": "read", "days": 1}
    made = walk.ask("POST", "/session/tokens", token=token, kept=False, json=asked)
    assert made.status_code == 201
    canaries.add(made.json()["token"])
    walk.ask("GET", "/jobs", token=made.json()["token"])
    walk.ask("GET", "/session/tokens?logins=true", token=token)
    walk.ask("GET", "/admin/tokens?logins=true", token="")
    walk.admin("vault", "rotate")
    walk.admin("signing", "resign")


def as_arguments(walk: Walk) -> None:
    """A secret argument, through jobs that end well, fail, wait, run again, and are refused."""
    walk.run("functions", "push", "sample/loud", walk.file("loud.py", LOUD))
    secret = ["--secret", f"password={walk.file('argument', ARGUMENT)}"]
    way = ["--kw", 'way="{}"']
    done = json.loads(
        walk.run(
            "submit", "sample/loud", way[0], way[1].format("well"), *secret, "--wait", "--json"
        )
    )
    assert done["result"] == len(ARGUMENT)
    failing = [way[0], way[1].format("raise")]
    walk.run("submit", "sample/loud", *failing, *secret, "--wait", status=1)
    walk.run("submit", "sample/loud", *failing, *secret, "--delay", "3600", "--key", "once")
    walk.run("again", done["id"])
    walk.run("submit", "sample/loud", "--kw", "way=1", *secret, status=1)
    for form in ([], ["--json"]):
        walk.run("jobs", *form)
        walk.run("job", done["id"], *form)
        walk.run("logs", *form)
    body = {"function": "sample/loud", "args": ["well", ARGUMENT, ARGUMENT]}
    made = walk.ask("POST", "/jobs?wait=60", token="", json=body)
    assert made.json()["args"] == ["well", "***", "***"]
    walk.ask("GET", f"/jobs/{made.json()['id']}/attempts", token="")
    wrong = {
        "function": "sample/loud",
        "args": ["well", [ARGUMENT]],
        "kwargs": {"password": ARGUMENT},
    }
    assert walk.ask("POST", "/jobs", token="", json=wrong).status_code == 422
    walk.run("dead", "list")


def looked_at(walk: Walk) -> None:
    """Everything that shows something."""
    for collection in ("users", "namespaces", "functions", "vhosts"):
        for form in ([], ["--json"], ["--toml"]):
            walk.admin(collection, "list", *form)
    walk.admin("users", "get", "ann", "--json")
    walk.admin("vhosts", "show", "web-1", "--json")
    walk.admin("operations", "list", "--json")
    for collection, name in (("users", "ann"), ("vhosts", "web-1")):
        query = {"collection": collection, "doc_id": name, "from": "0", "to": "1"}
        answer = walk.ask("GET", "/admin/operations/difference", token="", params=query)
        assert answer.status_code == 200
    walk.admin("operations", "verify")
    walk.admin("vault", "status")
    walk.admin("export", str(walk.folder / "exported"))
    walk.admin("backup", str(walk.folder / "store.backup"))
    walk.run("status")
    walk.run("doctor", "-c", str(walk.folder / "config" / "server.toml"), status=None)
    for path in ("/metrics", "/schema", "/admin/schema", "/logs", "/status", "/jobs", "/hosts"):
        walk.ask("GET", path, token="")
    for area in ("", "jobs", "logs"):
        picture = str(walk.folder / f"console-{area}.svg")
        walk.run("--snapshot", picture, *(["--area", area] if area else []), module="dts_tui.cli")
        assert "<svg" in Path(picture).read_text()


def wrongly(walk: Walk) -> None:
    """Secrets in fields that are none, tokens that are secrets, keys that do not open."""
    for field in ("address", "role", "groups"):
        walk.admin("users", "set", "ann", f"{field}={MISPLACED}", status=1)
        walk.ask("PATCH", "/admin/users/ann", token="", json={field: MISPLACED, "revision": 1})
    vhost = ["vhosts", "add", "made", "--address", "h", "--user", "u"]
    for option in ("--address", "--user", "--python", "--jump"):
        walk.admin(*vhost, option, MISPLACED, status=1)
    misplaced = walk.file("misplaced", MISPLACED)
    for option in ("--key-file", "--certificate-file", "--known-host-file"):
        walk.admin(*vhost, option, misplaced, status=1)
    closed = str(walk.given / "closed.pem")
    walk.admin(*vhost, "--key-file", closed, "--passphrase-file", misplaced, status=1)
    walk.admin(*vhost, "--known-host-file", closed, status=1)
    secret = {
        "ssh_pem_cert": Path(closed).read_text(),
        "key_passphrase": PASSPHRASE,
        "password": PASSWORD,
    }
    for body in (
        {"port": 0, **secret}, {"revision": 99, **secret}, {"nothing": 1, **secret},
        {"description": Path(closed).read_text()}, {"password": [PASSWORD]},
    ):  # fmt: skip
        answer = walk.ask("PATCH", "/admin/vhosts/gate", token="", json=body)
        assert answer.status_code in (409, 422), answer.text
    for user, told in ((MISPLACED, "x" * 9), ("ann", MISPLACED), ("nobody", USER_SECRET)):
        login = {"user": user, "secret": told}
        assert walk.ask("POST", "/session", token="none", json=login).status_code == 401
    assert walk.ask("GET", "/session", token=MISPLACED).status_code == 401


@pytest.mark.slow
def test_secrets_lie_where_they_were_given_and_nowhere_else(tmp_path: Path) -> None:
    """No file, answer, output, log, export, backup or picture holds one, in clear or in another form."""
    config = tmp_path / "config"
    config.mkdir()
    smtp = config / "smtp.password"
    smtp.write_text(SMTP_PASSWORD + "\n")
    smtp.chmod(0o600)
    (config / "server.toml").write_text(CONFIG.format(smtp))
    canaries = Canaries(USER_SECRET, SECOND_SECRET, SMTP_PASSWORD, MISPLACED, ARGUMENT)
    with up(tmp_path, "--config-dir", str(config)) as stack:
        stack.client().close()
        kept = json.loads((stack.data / "admin.json").read_text())
        canaries.add(kept["secret"], kept["token"])
        walk = Walk(tmp_path, stack)
        rightly(walk, canaries)
        as_arguments(walk)
        for name in ("arguments.key", "signing.key", "vault.key"):
            words = re.findall(r"[A-Za-z0-9+/=_-]{32,}", (stack.data / name).read_text())
            assert words, name
            canaries.add(*words)
        looked_at(walk)
        wrongly(walk)
        besides = (*KEY_FILES, smtp.name, *(path.name for path in walk.given.iterdir()))
        places = [*walk.printed, ("said", stack.said().encode())]
        places += files_under(tmp_path, besides=besides)
        stack.stop()
    places += files_under(tmp_path, besides=besides)
    names = [name for name, _ in places]
    assert any(name.endswith("dts.db") for name in names)
    assert any(name.endswith("server.log") for name in names)
    assert any(name.endswith(".svg") for name in names)
    assert canaries.found(places) == []
    held = canaries.found(files_under(tmp_path))
    assert {Path(name).name for name, _ in held} >= {"admin.json", "smtp.password", "closed.pem"}
