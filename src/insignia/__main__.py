"""The command, as ``insignia`` and as ``python -m insignia``: Ctrl-C ends it without a traceback while it is still loading."""

import sys

__all__ = ["main"]


def main() -> None:
    """Load and run the command."""
    try:
        from insignia.cli.main import main as run  # noqa: PLC0415  loading it takes a tenth of a second

        run()
    except KeyboardInterrupt:
        sys.exit(130)  # what a shell reports of a command that SIGINT ended


if __name__ == "__main__":
    main()
