"""The dashboard as a value: hosts, jobs by state, queues, alarms."""

from dts_core.builtin import current
from dts_core.services.users import LOCAL
from dts_core.views import StatusView


async def main() -> StatusView:
    """Tell how everything stands.

    Returns:
        The same as GET /status.
    """
    return await current().services.status.view(LOCAL)
