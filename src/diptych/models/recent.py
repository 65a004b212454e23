"""What was made lately: values that are costly to make, as many as fit into some bytes."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

LIMIT = 128_000_000
"""Bytes: some hundred prompts with pictures of an organism, some ten of a large model."""


@dataclass(eq=False)
class Recent:
    """Values by key; those asked for longest ago are dropped when all together have more than `limit` bytes."""

    limit: int = LIMIT
    held: int = 0
    _kept: OrderedDict[Hashable, tuple[Any, int]] = field(default_factory=OrderedDict)

    def get(self, key: Hashable, make: Callable[[], Any], size: Callable[[Any], int]) -> Any:
        """The value of a key, made if there is none; `size` tells its bytes."""
        if key not in self._kept:
            value = make()
            self._kept[key] = value, size(value)
            self.held += size(value)
        self._kept.move_to_end(key)
        found = self._kept[key][0]
        while self.held > self.limit:
            self.held -= self._kept.popitem(last=False)[1][1]
        return found
