"""The screens: each fills the body below the header; only the one that is seen does any work."""
