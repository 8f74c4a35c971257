"""What benchmarks/innocents.py is made of: the innocents, and the drawing of its result."""
