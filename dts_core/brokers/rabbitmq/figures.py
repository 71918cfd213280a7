"""What this process has counted of a queue since its start; RabbitMQ itself tells only what is ready."""


class Figures:
    """Counts of one queue."""

    def __init__(self) -> None:
        self.published = 0
        self.delivered = 0
        self.acked = 0
