"""Benchmarks: what diptych takes, against bare calls of the model. The page `make docs` shows here is numbers.md."""

__all__: list[str] = []  # nothing of it is public
