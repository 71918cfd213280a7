"""Does nothing: the smallest job there is."""


async def main() -> None:
    """Do nothing and return nothing; what remains is the cost of a job itself."""
