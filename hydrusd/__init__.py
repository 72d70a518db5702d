"""hydrusd: a daemon that automates a Hydrus client by rules."""

__version__ = "0.1.0"
