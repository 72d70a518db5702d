"""What comes with hydrusd: plugins that use the author API and nothing else."""

PLUGINS = ("hydrusd.builtin.actions", "hydrusd.builtin.sidecars", "hydrusd.builtin.triggers")
"""The modules that the daemon loads as its first plugins."""
