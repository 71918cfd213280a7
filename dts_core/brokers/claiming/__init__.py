"""Claims for a worker on a broker that knows none: asked of the control side, in batches, before the handing over."""

from dts_core.brokers.claiming.broker import ClaimingBroker

__all__ = ["ClaimingBroker"]
