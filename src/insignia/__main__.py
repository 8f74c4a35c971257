"""``python -m insignia`` is ``insignia``."""

from insignia.cli.main import main

main()
