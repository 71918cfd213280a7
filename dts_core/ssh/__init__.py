"""SSH: the only place that knows asyncssh. `base` is what services may use of it."""
