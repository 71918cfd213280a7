"""The child process that runs user code: standard library only, Python 3.9 or newer.

`__main__.py` is started by path with `python -I`; it needs no package of ours beside this folder.
"""
