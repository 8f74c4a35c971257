"""A whole run from one file: steps that are verbs with their options, each made when it is not current.

Nothing here knows what a verb does. What a step needs and makes is told by the paths among its options.
"""

__all__: list[str] = []
