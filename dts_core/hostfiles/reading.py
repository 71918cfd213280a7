"""All files of one import together, each by its kind."""

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from dts_core.errors import ConfigError
from dts_core.hostfiles.found import Findings, Read
from dts_core.hostfiles.inventory_ini import read_ini
from dts_core.hostfiles.inventory_yaml import read_yaml
from dts_core.hostfiles.knownkeys import KnownKeys, read_known_keys
from dts_core.hostfiles.sshhosts import read_ssh_config
from dts_core.hostfiles.table import read_table
from dts_core.hostsets import unfold

__all__ = ["Sources", "read_hosts"]


class Sources(msgspec.Struct, frozen=True, kw_only=True):
    """Which files are read."""

    ssh_configs: Sequence[Path] = ()
    inventories: Sequence[Path] = ()
    """Of Ansible, in YAML by their names, else in its line form."""
    tables: Sequence[Path] = ()
    """CSV"""
    known_keys: Sequence[Path] = ()
    """known_hosts"""

    @property
    def name_hosts(self) -> bool:
        """Whether any of them is there to name hosts; keys alone go with hosts, or name some of their own."""
        return bool(self.ssh_configs or self.inventories or self.tables)


def read_hosts(
    sources: Sources, read: Read, names: Sequence[str], normal: Callable[[str], list[str]]
) -> tuple[Findings, list[KnownKeys]]:
    """Everything that the files tell of hosts, and the keys of known_hosts.

    Args:
        sources: The files.
        read: Reads one.
        names: Hosts that are asked for, which an ssh_config may have settings for by a pattern.
        normal: `SshKeys.host_keys`, which knows keys.

    Raises:
        ConfigError: A file cannot be read, or is a program.
        InvalidInput: A range in a name is none.
    """
    findings = Findings()
    plain = [each for folded in names for each in unfold(folded) if not set(each) & set("*?")]
    for path in sources.ssh_configs:
        findings.merge(read_ssh_config(path, read, plain))
    for path in sources.inventories:
        findings.merge(_inventory(path, read(path)))
    for path in sources.tables:
        found = Findings()
        read_table(str(path), read(path).removeprefix("\ufeff"), found, normal)
        findings.merge(found)
    keys = [read_known_keys(str(path), read(path), findings, normal) for path in sources.known_keys]
    return findings, keys


def _inventory(path: Path, text: str) -> Findings:
    findings = Findings()
    if text.startswith("#!"):
        raise ConfigError(
            "is a program, and no program is run.",
            file=str(path),
            advice="Give what `ansible-inventory --list --yaml` writes.",
        )
    is_yaml = path.suffix in (".yml", ".yaml") or text.lstrip().startswith("---")
    inventory = (read_yaml if is_yaml else read_ini)(str(path), text, findings)
    if not findings.mistakes:
        inventory.tell(findings)
    for folder in ("group_vars", "host_vars"):
        if (path.parent / folder).is_dir():
            findings.notes.append(f"{path.parent / folder}: what stands in there is not read")
    return findings
