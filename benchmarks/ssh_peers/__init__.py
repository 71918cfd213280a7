"""SSH: other programs on the same hosts in the same run."""
