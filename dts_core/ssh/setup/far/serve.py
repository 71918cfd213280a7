"""The orders of a set-up, on the far side. It waits for nobody and starts nothing else."""

from typing import Any

from dts_core.ssh.setup.far import facts, keys, removing, service, steps, wire
from dts_core.ssh.setup.far.base import Failed, Place


def main(options: "dict[str, Any]") -> None:
    """Serve until the input ends."""
    wire.serve(options["mark"], _obey)


def _obey(order: "dict[str, Any]") -> "dict[str, Any]":
    kind = order["do"]
    if kind == "facts":
        return {"facts": facts.collect()}
    if kind == "authorized":
        return {"authorized": keys.is_authorized(order["line"], order["file"])}
    if kind == "authorize":
        return {"changed": keys.authorize(order["line"], order["file"], order.get("like", ""))}
    if kind == "unauthorize":
        return {"changed": keys.unauthorize(order["line"], order["file"])}
    place = Place(order["place"])
    if kind == "look":
        return {"facts": facts.collect(), "states": steps.look(place, order)}
    if kind == "apply":
        body = wire.read_body(order.get("body_size", 0))
        try:
            return steps.apply(place, order, body)
        finally:
            for _ in body:  # what a step did not take must not be read as orders
                pass
    if kind == "stop":
        return {"stopped": steps.stop(place, order)}
    if kind == "words":
        return {"words": service.words(place)}
    if kind == "remove":
        return removing.remove(place, order)
    raise Failed(f"there is no order {kind!r}")
