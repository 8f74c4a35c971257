"""What leaves the house: a model's folder for a hub, after a look for secrets. Nothing here makes or changes a model."""

__all__: list[str] = []
