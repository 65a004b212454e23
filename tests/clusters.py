"""Names of clusters, for tests of statistics."""


def names(count: int, size: int = 1) -> list[str]:
    """A name for each value: clusters of `size` neighbours."""
    return [f"c{index // size}" for index in range(count)]
