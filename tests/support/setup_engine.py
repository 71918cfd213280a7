"""A control side on RabbitMQ that sets up workers on a private root."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from tests.support.distributed import Distributed, distributed
from tests.support.grants import Grants
from tests.support.privateroot import PrivateRoot
from tests.support.proxy import proxied
from tests.support.rabbitmq import RabbitNode, vhost_of

__all__ = ["setup_engine"]


@contextlib.contextmanager
def setup_engine(rabbit: RabbitNode, machine: PrivateRoot, folder: Path) -> Iterator[Distributed]:
    """A server on RabbitMQ, which the machine reaches through us; its own users alone are let in."""
    url = rabbit.vhost()
    password = folder / "management"
    password.write_text(rabbit.password)
    password.chmod(0o600)
    with proxied(rabbit.host, rabbit.port, bind=machine.outside) as broker:
        port = broker(lambda proxy: proxy.port)
        env = {
            "DTS_SETUP_BROKER": f"amqp://{machine.outside}:{port}/{vhost_of(url)}",
            "DTS_SETUP_LOGINS": str(folder / "logins"),
            "DTS_SETUP_MANAGEMENT": rabbit.api,
            "DTS_SETUP_MANAGEMENT_USER": rabbit.user,
            "DTS_SETUP_MANAGEMENT_PASSWORD_FILE": str(password),
            "DTS_SETUP_CACHE": str(folder / "cache"),
        }
        with distributed(folder, Grants(rabbit, url, folder).control(), "", env=env) as made:
            made.server()
            yield made
    rabbit.drop(url)
