"""Triggers and actions that come with hydrusd. They use the author API and nothing else."""

PLUGINS = ("hydrusd.builtin.actions", "hydrusd.builtin.triggers")
"""The modules that the daemon loads as its first plugins."""
