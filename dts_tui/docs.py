"""Writes docs/console.md from the registry: `python -m dts_tui.docs`."""

from pathlib import Path

from dts_tui.actions import ROLE_FOR, key_label
from dts_tui.catalogue import ACTIONS, READ, Action

_HEAD = """# The console

`dts-tui` shows one server: hosts, jobs, queues and alarms live, logs as they are written,
functions with their source. It works by keys alone; the mouse works too. It finds the server as
every client command does (`--url`, `--context`, `--data`, their variables, else the embedded
stack of this user).

![The Wall](pictures/wall.svg)

| | |
| --- | --- |
| `dts-tui --once` | prints the dashboard as text and leaves; exits 1 with one line when the server does not answer |
| `dts-tui --snapshot FILE.svg [--size 120x36] [--area logs]` | draws one screen into a file |
| `dts-tui --read-only` | changes nothing on the server, whatever the keys |
| `DTS_ASCII=1`, `NO_COLOR=1` | ASCII characters only; no colours |
| `tui.toml` | theme, refresh, mouse, lines kept, first area, and `[keys]`: `action = "key"` |

## Ages

Every panel says how old its data is. Data older than two intervals is dimmed and marked `stale`.
When the server does not answer, a bar says since when and when it is tried again; everything that
writes is off, with that reason; the console recovers by itself, also when the server comes back
on another port.

## Filters

| | |
| --- | --- |
| `boom` | the word stands anywhere, whatever its case |
| `"two words"` | both, together |
| `!boom` | it does not |
| `state=failed,dead`, `host=web-*`, `by!=anna` | a field; a comma separates alternatives, a star stands for anything |
| `~time(d )?out`, `error~^Value` | a regular expression, anywhere or in one field |
| `failed` | among jobs, the name of a state asks for that state |

All terms must hold; the title says how many of how many fit. In Logs `i` switches them on and off
one by one, and `c` shows what stands around a line without the filter.

## Queues, dead letters, parts

Each queue has its state in words (`open`, `paused 4m by anna`, `nobody takes`), what is ready and unacked, how
long the oldest waits, rates per second, consumers, and how many dead letters came from it. `d` tells every figure,
`enter` the jobs that wait. While the broker is away the figures are those that were last told, with their age.

![Queues, one of them paused, and the parts](pictures/queues.svg)

Below stand the parts: a line for store, broker, workers and whoever is not simply up, the others together. `v`
(anywhere: `:parts`) tells each with its words in full and what it does, and every worker's host; who is in trouble
comes first.

`l` shows the dead letters of the queue, `L` and `:dead` those of all, `:dead results` those of one from anywhere.
`space` and `*` mark, `R` sends again, `D` throws away: marked ones together, 500 at most. How to operate with them:
[howto](howto.md#look-after-queues-and-dead-letters).

## Administration

`8` shows what can be administered; `:users`, `:namespaces`, `:vhosts`, `:tokens` and `:operations` lead there from
anywhere, also with a filter (`:users role=admin`), and `tab` from one to the next. `:user NAME`, `:namespace NAME` and
`:vhost NAME` open one; `tab` completes the name. The footer names only what one's role may do; `?` has the rest last,
with the reason, and so has the key itself.

The server sorts (`o` the next field, `O` the other way) and looks through the whole collection: `role=admin`,
`groups=ops`, `labels=...`, `id=web-*`, and the first plain word (in the id and in addresses or descriptions). Other
terms are held against what comes. While one types, `tab` completes keys and values. Further pages come as one goes
down.

![Users: state, role, groups](pictures/admin-users.svg)

`enter` shows every field, who changed it last, and the history below. There `enter` shows an operation, `space` marks
two states and `=` shows what lies between them; without marks, what changed from the one under the cursor until now.

`n` makes a new one from a form, `c` from a copy under another name (without secrets), `e` changes one. The form says
below what the field is for, the server's reasons stand at their fields, and what was typed is kept when one leaves.
A secret shows as dots and stays out of drafts, commands, pictures and the clipboard; a private key is pasted, and only
its size is shown. When somebody was quicker, both versions are shown: `t` takes theirs, `m` puts one's own changes on
theirs, `esc` goes on typing.

`ctrl+o` changes one as TOML in `$VISUAL` or `$EDITOR`, each field below its help; leaving the editor stores what was
changed, an exit status other than 0 nothing. The file is private and gone afterwards, and holds no secret. With neither
variable set the text is edited in the console. A mistake is told with its line, the text stays, `ctrl+o` opens it again
with the reason above it, `ctrl+s` stores it.

![A document as TOML, with a field that there is none of](pictures/admin-toml.svg)

`b` changes one field of the marked ones: `env=prod, -team` sets and takes away entries of a map, `ops, -dev` adds to a
list and takes from it (`=ops` gives it anew), anything else is the value. `T` disables users and virtual hosts, or
lets them in again. Both show what each becomes and ask; what cannot be done to one is told with its reason, and stops
no other.

![Labels of two virtual hosts, before they are changed](pictures/admin-bulk.svg)

`D` deletes the marked ones, or the one under the cursor, after it told what depends on them. For namespaces, virtual
hosts, several at once and whatever is needed by others, the name or the number has to be typed.

Among users `P` gives one a new secret, typed, or made by the console and shown once, and `m` (anywhere: `:mail-test`)
mails a group a test and shows what became of it for each user. `:password` changes one's own secret by the old one.

`:tokens` lists access tokens: one's own, and for an administrator those of all users; `l` adds logins. `n` makes one;
it is shown once, `y` copies it, and in a picture of the screen there are dots. `D` ends the marked ones within a
second.

![A token that is shown once; in this picture it is dots](pictures/admin-token.svg)

## Set up a host

`a` (anywhere: `:add-host`), among hosts and among virtual hosts, makes a worker of a new host; `i` goes on with the
virtual host under the cursor where it stands. The way has eight steps, each `· waiting`, `▶ doing`, `◆ your turn`,
`● ok`, `✓ changed` or `✗ failed`; `j` and `k` look at any of them, `enter` does what the one under the cursor
needs, `e` changes what it is about.

| step | what happens |
| --- | --- |
| address | name, address, port, user, mode; without RabbitMQ the mode is agent |
| host key | the key that the host shows; `enter` pins it once a person says that it is the same as on the host |
| login | the stored credential is tried by running `true` there. None: its form comes; `t` asks you and tries that |
| facts, plan | what the host is, and each step: how it is, how it will be. Nothing is changed. `e`: scope and queues |
| apply | after a question with the host's name and the steps; they are followed as they are made, `l` shows the log |
| heartbeat | the first one is waited for |
| first job | `enter` chooses a function, and runs it there |

What changes nothing follows by itself; what is pinned or changed is asked about. A step that failed says what
happened and what to do, and `enter` tries it again. All of it is the server's: one may leave by `esc` at any
moment, and come back from here or from another console. A host that shows another key than the pinned one is not
gone on with; `F` forgets the pinned one, and asks for the reason.

![A host's key before it is pinned](pictures/setup-key.svg)

`I` sets a host up again (what is as it shall be is left alone), `X` stops its worker and removes there what was
made, after its name was typed; both also in the list of virtual hosts. The virtual host itself stays: `T` disables it,
`D` deletes it. The same by command: [howto](howto.md#make-a-worker-of-a-host-over-ssh).

![The plan being carried out](pictures/setup-apply.svg)

`f` among virtual hosts (anywhere: `:import-hosts`) takes hosts of a file on the console's machine: settings of ssh, an
inventory of Ansible, a table, known_hosts. Its kind is told by its name or how it begins, unless it is chosen. The
plan shows each host with what is written of it, what is not taken, and who is refused and why; `enter` does it after
a question, unless the file was changed since. It is `dts vhost import`, run by the console:
[howto](howto.md#import-those-that-you-have).

## Calls on many hosts

Among virtual hosts `s` runs a command or a function on the marked ones; without marks on all that fit the filter, shown
or not; without a filter on the one under the cursor. Disabled ones are left out, and counted. The form asks for the
command (quotes as in a shell) or for the function's arguments, and for how it goes: how many hosts at once, seconds for
each, batches (`1, 10, 50%`), and how many may fail before nothing new is begun. The question that follows names the
hosts as the server has resolved them, what runs there, and the batches.

The board of the job opens at once, and from the list of jobs at any time: it comes from the server, so that it is the
same after the console or the server was killed in the middle. Hosts with the same answer stand together under folded
names, the largest group first; `tab` lists the hosts instead, where a filter works (`state=failed`, `exit=7`). Six ends
are kept apart: `● ok`, `✗ failed`, `○ unreachable`, `◷ timed out`, `⊘ cancelled`, `◇ never started`; before them
`· waiting` and `▶ running`.

![Hosts with the same answer, live](pictures/fan-out.svg)

Below stands what the host under the cursor printed, while it runs the end of it, live. `enter` opens all of it: while
it runs its end is followed, `f` stays there or not; `ctrl+f` searches it, `tab` goes to the next host. The board is as
it was left when one comes back. What a host printed is shown inert, and what is left out of a long output is counted.
`=` shows what the group under the cursor printed otherwise than most hosts did, `e` what became of each host in an
earlier run.

With "ask me" in the form of the call, what a login asks and is not stored is put before whoever started it: each prompt
with a line, dots unless the host wants the answer seen, and the time that is left. `enter` answers, `esc` refuses,
`ctrl+t` has one answer serve every host that asks with the same words; `a` brings the form back. Nothing of it is kept.
The form waits until nobody types, so that no key meant for something else answers it, and goes when the login asks no
more.
With "as me" the SSH agent here signs the logins to the hosts of the run while its board is open; `a` says so for a run
that was begun elsewhere.

One key runs the same again on exactly some of the hosts, after a question with their names: `R` those of the group
under the cursor, `F` the failed, `U` the unreachable, `N` those that never started, `T` the timed out,
`A` those that were cancelled.

![The same again on those that never started](pictures/fan-out-again.svg)

`!` opens a shell on the host: on a virtual host, in the list of hosts and on a host's page (where a virtual host has
that name), on the board and on one host's output. The console steps aside for `dts ssh --tty` and is back where it was
when the shell ends; how it ended stands in the last line. Enter `~` `.` leaves it. What comes from the host reaches the
terminal as it is: [howto](howto.md#open-a-shell-on-a-host) says who may, and what is on record.

"""
_SCOPES = (
    ("jobs", "Jobs"),
    ("job", "One job"),
    ("board", "The board of a fan-out"),
    ("host-output", "What one host printed"),
    ("host-call", "A call on many hosts: the form"),
    ("choose", "A new job: the function"),
    ("submit", "A new job: the form"),
    ("functions", "Functions"),
    ("function", "One function"),
    ("editor", "The editor"),
    ("hosts", "Hosts"),
    ("host", "One host"),
    ("logs", "Logs"),
    ("alarms", "Alarms"),
    ("queues", "Queues"),
    ("dead", "Dead letters"),
    ("admin", "Admin"),
    ("documents", "Users, namespaces, virtual hosts"),
    ("document", "One of them"),
    ("document-form", "Its form"),
    ("document-toml", "One of them as TOML"),
    ("setup", "The set-up of a host"),
    ("setup-form", "The set-up of a host: a form"),
    ("import-form", "Hosts of a file: the form"),
    ("import-plan", "Hosts of a file: the plan"),
    ("tokens", "Access tokens"),
    ("secret-form", "An access token, a secret"),
    ("operations", "Operations"),
    ("wall", "The Wall"),
)


def page() -> str:
    """The whole page."""
    parts = [
        _HEAD,
        "## Keys everywhere\n\n",
        _table([action for action in ACTIONS if not action.scopes]),
    ]
    for scope, title in _SCOPES:
        parts.append(f"\n## {title}\n\n")
        parts.append(_table([action for action in ACTIONS if scope in action.scopes]))
    return "".join(parts)


def _table(actions: list[Action]) -> str:
    rows = ["| key | `:` name | does | needs |\n", "| --- | --- | --- | --- |\n"]
    for action in actions:
        keys = " ".join(f"`{_cell(key_label(key))}`" for key in action.keys) or "–"
        needs = ROLE_FOR[action.permission] if action.permission != READ else ""
        rows.append(f"| {keys} | {action.name} | {_cell(action.help)} | {needs} |\n")
    return "".join(rows)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    Path(__file__).parents[1].joinpath("docs", "console.md").write_text(page(), encoding="utf-8")
