"""Documents as a folder declares them, and the plan that makes a server hold them. Rules only: no file, no server."""

from dts_core.declared.checking import misfits
from dts_core.declared.documents import ORDER, Declared, Kept, Key, Misfit, digest_of
from dts_core.declared.forms import Form, forms_of
from dts_core.declared.paths import id_of, path_of
from dts_core.declared.planning import Held, Plan, Step, make_plan
from dts_core.declared.writing import document_toml

__all__ = [
    "ORDER",
    "Declared",
    "Form",
    "Held",
    "Kept",
    "Key",
    "Misfit",
    "Plan",
    "Step",
    "digest_of",
    "document_toml",
    "forms_of",
    "id_of",
    "make_plan",
    "misfits",
    "path_of",
]
