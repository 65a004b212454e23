"""
.. include:: numbers.md
"""

__all__: list[str] = []  # what pdoc lists beside the page
