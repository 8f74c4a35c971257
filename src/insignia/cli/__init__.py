"""The command line: one file a verb, each a stage's function with paths."""

__all__: list[str] = []
