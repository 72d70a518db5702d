"""``python -m hydrusd``."""

from hydrusd.cli import main

main()
