"""What is done to make a host a worker, as entries of the catalogue."""

from functools import partial
from typing import Final

from dts_tui.entries import ADMIN, Action

_in_setup = partial(Action, scopes=("setup",), permission=ADMIN)
_everywhere = partial(Action, scopes=("documents", "document", "setup"), permission=ADMIN)

SETTING_UP: Final[tuple[Action, ...]] = (
    Action(
        "add-host",
        ("a",),
        "add host",
        "Make a worker of a new host reached by SSH, step by step.",
        scopes=("documents", "hosts"),
        permission=ADMIN,
        anywhere=True,
        footer=22,
        command="dts vhost init ID --address HOST --user NAME",
        request='POST /admin/vhosts {{"_id": "ID", …}}',
    ),
    Action(
        "set-up",
        ("i",),
        "set up",
        "Make a worker of the virtual host under the cursor, step by step; goes on where it stands.",
        scopes=("documents", "document"),
        permission=ADMIN,
        looks=True,
        footer=24,
        command="dts vhost init {id_word} --dry-run",
        request="GET /admin/vhosts/{id}",
    ),
    _in_setup(
        name="go-on",
        keys=("enter",),
        title="go on",
        help="What the step under the cursor needs; asks before anything is pinned, or changed there.",
        footer=5,
        command="{step_command}",
        request="{step_request}",
    ),
    _in_setup(
        name="edit-step",
        keys=("e",),
        title="edit",
        help="Change what the step under the cursor is about: the address, the credential, how it is set up.",
        footer=20,
        command="dts admin vhosts set {id_word} …",
        request="PATCH /admin/vhosts/{id} {{…}}",
    ),
    _in_setup(
        name="store-step",
        keys=("ctrl+s",),
        title="go on",
        help="Check the form, store it, and go on.",
        scopes=("setup-form",),
        footer=5,
        typing=True,
        command="{step_command}",
        request="{step_request}",
    ),
    _in_setup(
        name="forget-key",
        keys=("F",),
        title="forget key",
        help="Remove the pinned key of a host that was set up anew; asks for the reason.",
        footer=15,
        command="dts admin vhosts forget-key {id_word} --reason REASON",
        request='POST /admin/vhosts/{id}/forget-key {{"reason": "REASON"}}',
    ),
    _everywhere(
        name="set-up-again",
        keys=("I",),
        title="init anew",
        help="Set the host up again: what is as it shall be is left alone, an older program is replaced; asks first.",
        footer=41,
        command="dts vhost init {id_word}",
        request="POST /admin/vhosts/{id}/init {{}}",
    ),
    _everywhere(
        name="remove-setup",
        keys=("X",),
        title="tear down",
        help="Stop the host's worker, and remove there all that set-up has made; its name has to be typed.",
        footer=41,
        command="dts vhost remove {id_word}",
        request="POST /admin/vhosts/{id}/remove {{}}",
    ),
)
