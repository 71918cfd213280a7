"""Which virtual hosts are meant: by name, folded name, pattern, label."""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from dts_core.errors import InvalidInput
from dts_core.hostsets import pattern, unfold
from dts_core.model import VirtualHost
from dts_core.services.vhosts import VHOSTS
from dts_core.stores.base import Store
from dts_core.text import clean
from dts_core.views.ssh import HOSTS_MAX

__all__ = ["batch_sizes", "choose_hosts"]

_PAGE: Final = 500


async def choose_hosts(store: Store, names: Sequence[str], labels: Mapping[str, str]) -> list[str]:
    """Ids of the hosts that are meant, each once, in the order of the names, then by id.

    Args:
        store: Where virtual hosts are.
        names: Ids, folded ids, or patterns with * and ?; none: any.
        labels: All of which they have; an empty value takes any.

    Raises:
        InvalidInput: Nothing is asked for or found, a named one is not there or disabled, or there are too many.
    """
    if not names and not labels:
        raise _refused("no host is named.", "name hosts, or labels that they have")
    known = await _all(store)
    found: dict[str, None] = {}
    wanted = names or ["*"]
    for name in (each for folded in wanted for each in unfold(folded)):
        matching = _matching(name, known)
        if not matching:
            raise _refused(f"there is no virtual host {clean(name, 120)}.", "not known")
        found.update(dict.fromkeys(matching))
    chosen = [name for name in found if _has(known[name], labels)]
    if not chosen:
        raise _refused("no virtual host has these labels.", "none has these labels")
    if len(chosen) > HOSTS_MAX:
        raise _refused(f"{len(chosen)} hosts are meant.", f"at most {HOSTS_MAX} at once")
    return chosen


async def _all(store: Store) -> dict[str, VirtualHost]:
    documents, after = await VHOSTS.page(store, limit=_PAGE)
    while after:
        more, after = await VHOSTS.page(store, after=after, limit=_PAGE)
        documents += more
    return {each.id: each for each in documents}


def _matching(name: str, known: Mapping[str, VirtualHost]) -> Collection[str]:
    if "*" not in name and "?" not in name:
        if name in known and known[name].disabled:
            raise _refused(f"virtual host {name} is disabled.", f"{name} is disabled")
        return [name] if name in known else []
    fitting = pattern(name).fullmatch
    return [each for each in known if fitting(each) and not known[each].disabled]


def _has(vhost: VirtualHost, labels: Mapping[str, str]) -> bool:
    return all(
        name in vhost.labels and (not value or vhost.labels[name] == value)
        for name, value in labels.items()
    )


def _refused(message: str, why: str) -> InvalidInput:
    return InvalidInput(message, fields={"hosts": why}, advice="See `dts admin vhosts list`.")


def batch_sizes(batches: Sequence[str], hosts: int) -> list[int]:
    """Sizes of batches that are told as numbers or as shares of all hosts, cut where there are no more hosts."""
    sizes: list[int] = []
    left = hosts
    for at in range(hosts if batches else 0):
        if left <= 0:
            break
        told = batches[min(at, len(batches) - 1)]
        share = told.removesuffix("%")
        size = int(share) if share == told else max(1, -(-hosts * int(share) // 100))
        sizes.append(min(size, left))
        left -= size
    return sizes
