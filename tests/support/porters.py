"""What a porter counts."""

from dts_core.daemons.porter import Porter
from dts_core.testing import wait_until

__all__ = ["counted"]


async def counted(porter: Porter, recorded: int, refused: int) -> None:
    """It has recorded and refused so many results; it counts them just after the store has shown them."""

    def all_told() -> bool:
        return porter.results_recorded + porter.results_refused >= recorded + refused

    await wait_until(all_told, what=f"{recorded} recorded, {refused} refused")
    assert (porter.results_recorded, porter.results_refused) == (recorded, refused)
