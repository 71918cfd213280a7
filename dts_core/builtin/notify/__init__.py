"""Telling people: a module for each way."""
