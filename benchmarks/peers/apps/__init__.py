"""The jobs and clients of each peer; runs in .venv-bench, which knows nothing of dts."""
