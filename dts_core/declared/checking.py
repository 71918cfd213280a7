"""Whether the documents of a folder fit each other, and what the server holds beside them."""

from collections.abc import Collection, Mapping, Sequence

from dts_core.declared.documents import Declared, Kept, Key, Misfit

__all__ = ["misfits", "ways"]


def misfits(
    declared: Sequence[Declared], kept: Sequence[Kept], *, prune: Collection[str]
) -> list[Misfit]:
    """What would not fit once all is as declared: a function without its namespace, a way to nowhere or in a circle.

    Args:
        declared: The whole folder.
        kept: What the server holds.
        prune: Collections of which nothing else stays.
    """
    staying = {each.key for each in declared}
    staying |= {each.key for each in kept if each.key.collection not in prune}
    jumps = ways(declared, kept, prune=prune)
    found = []
    for each in declared:
        collection, doc_id = each.key
        if collection == "functions":
            namespace = doc_id.partition("/")[0]
            if Key("namespaces", namespace) not in staying:
                found.append(Misfit(each.file, "", f"there is no namespace {namespace}"))
        elif collection == "vhosts" and (why := _lost(doc_id, jumps)):
            found.append(Misfit(each.file, "jump", why))
    return found


def ways(
    declared: Sequence[Declared], kept: Sequence[Kept], *, prune: Collection[str]
) -> dict[str, str]:
    """Virtual host -> the one that its way leads through (or empty), once all is as declared."""
    found = {}
    if "vhosts" not in prune:
        found = {each.key.id: _jump(each) for each in kept if each.key.collection == "vhosts"}
    return found | {
        each.key.id: _jump(each) for each in declared if each.key.collection == "vhosts"
    }


def _jump(document: Declared | Kept) -> str:
    jump = document.fields.get("jump")
    return jump if isinstance(jump, str) else ""


def _lost(vhost: str, jumps: Mapping[str, str]) -> str:
    """Why a way leads nowhere; empty when it does not."""
    passed = [vhost]
    while following := jumps[passed[-1]]:
        if following in passed:
            return f"the way would be a circle: {' through '.join([*passed, following])}"
        if following not in jumps:
            # What the server alone holds is in order: it is the folder's own jump that is told of.
            return f"there is no virtual host {following!r}"
        passed.append(following)
    return ""
