"""The command line's machinery: options from the fields of records, what recipes say, and verbs that load when called."""

__all__: list[str] = []
