"""What a host runs while it is set up. Standard library only, from Python 3.9; no file of it is written there."""
