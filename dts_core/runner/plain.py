"""Modules of the standard library below their comfortable ones, which take longer to load than a child to start."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
else:
    try:
        import _signal as signal  # `signal` makes enums of its numbers, and with them loads a dozen modules
    except ImportError:
        import signal

__all__ = ["signal"]
