"""Widgets that draw themselves line by line, and the few of Textual's that take typing."""
