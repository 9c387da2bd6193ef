"""Configurations of `trace_ends`."""
