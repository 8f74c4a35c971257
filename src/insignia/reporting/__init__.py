"""Results for people: each becomes a neutral document, and a format writes it as text, Markdown, a web page or JSON."""

__all__: list[str] = []
