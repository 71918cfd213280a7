"""Virtual hosts of an ssh_config file: names that it spells out, and those that are asked for."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from dts_core.hostfiles.found import Findings, FoundHost, Read, port_of
from dts_core.hostfiles.sshconfig import ConfigLines, Setting, read_lines
from dts_core.hostfiles.ways import Hop, hops_of, hops_of_command

__all__ = ["read_ssh_config"]

_NO_WAY: Final = (
    "{where}: its way cannot be taken over: {why}; say it with ProxyJump, "
    "or add the virtual host by hand"
)


def read_ssh_config(path: Path, read: Read, names: Sequence[str] = ()) -> Findings:
    """The hosts of a file of ssh's own settings.

    A host of the way to another one becomes a virtual host as well. Private keys are named, and never read.

    Args:
        path: The file.
        read: Reads a file.
        names: Further names, which the file has settings for by a pattern alone.

    Raises:
        ConfigError: The file cannot be read.
    """
    findings = Findings()
    hosts = _Hosts(read_lines(path, read, findings), str(path), findings)
    for name in hosts.lines.names:
        hosts.take(name)
    for name in names:
        if hosts.lines.knows(name):
            hosts.take(name)
    return findings


class _Hosts:
    def __init__(self, lines: ConfigLines, file: str, findings: Findings) -> None:
        self.lines = lines
        self._file = file
        self._findings = findings

    def take(self, name: str) -> None:
        """A name that ssh would take."""
        if name in self._findings.hosts:
            return
        host, hops = self._host(Hop(name))
        self._findings.add(host)
        if not host.refused and hops:
            self._pass(host, hops)

    def _pass(self, host: FoundHost, hops: Sequence[Hop]) -> None:
        """Take each host of a way, with the one before it as its own jump."""
        before = ""
        for hop in hops:
            self._step(host, hop, before)
            before = hop.name

    def _step(self, host: FoundHost, hop: Hop, before: str) -> None:
        if hop.name not in self._findings.hosts:
            found, own = self._host(hop)
            if before and not found.refused:
                found.fields["jump"] = before
            self._findings.add(found)
            if own and not before:
                self._pass(found, own)
        known = self._findings.hosts[hop.name].fields
        told = {"user": hop.user or known.get("user"), "port": hop.port or known.get("port")}
        told["jump"] = before or known.get("jump", "")
        if any(value and known.get(name, "") != value for name, value in told.items()):
            why = (
                f"its way leads to {hop.name} in another way than {hop.name} is reached by itself: "
                f"give that one its User, Port and ProxyJump in a Host block of its own"
            )
            self._findings.hosts[host.name] = _refused(host, why)

    def _host(self, hop: Hop) -> tuple[FoundHost, list[Hop]]:
        """A host and the way to it; what the hop itself says goes before the settings of its name."""
        of = self.lines.of(hop.name)
        where = self._where(hop.name)
        fields: dict[str, Any] = {"address": hop.name}
        if (address := of.get("hostname")) is not None:
            fields["address"] = address.value.replace("%h", hop.name).replace("%%", "%")
        bare = FoundHost(
            name=hop.name,
            where=where,
            fields=fields,
            known_as=of["hostkeyalias"].value if "hostkeyalias" in of else "",
            notes=_notes(of),
        )
        try:
            port = hop.port or _port(of.get("port"))
            hops = _way(of.get("way"))
        except ValueError as error:
            return _refused(bare, str(error)), []
        user = hop.user or (of["user"].value if "user" in of else "")
        fields |= {"user": user} if user else {}
        fields |= {"port": port} if port else {}
        if "way" in of:
            fields["jump"] = hops[-1].name if hops else ""
        return bare, hops

    def _where(self, name: str) -> str:
        file, line = self.lines.names.get(name, (self._file, 0))
        return f"{file}, line {line}" if line else file


def _port(setting: Setting | None) -> int | None:
    if setting is None:
        return None
    port = port_of(setting.value)
    if port is None:
        raise ValueError(f"{setting.file}, line {setting.line}: Port is no port")
    return port


def _way(setting: Setting | None) -> list[Hop]:
    if setting is None:
        return []
    take = hops_of if setting.option == "proxyjump" else hops_of_command
    try:
        return take(setting.value)
    except ValueError as error:
        where = f"{setting.file}, line {setting.line}"
        raise ValueError(_NO_WAY.format(where=where, why=error)) from None


def _notes(of: Mapping[str, Setting]) -> tuple[str, ...]:
    key = of.get("identityfile")
    if key is None or key.value.lower() == "none":
        return ()
    return (f"its private key {key.value} is not read: give it with --key-file",)


def _refused(host: FoundHost, why: str) -> FoundHost:
    return FoundHost(name=host.name, where=host.where, fields=host.fields, refused=why)
