"""`python -m tests.parity DIR [sdpa|eager]`: the parity table of all sets below a folder; status 1 beyond tolerance."""

import sys
from pathlib import Path

from .table import HEADER, cells, rows


def main(arguments: list[str]) -> int:
    if not 1 <= len(arguments) <= 2:
        print(__doc__)
        return 2
    passed = []
    print("\t".join(HEADER))
    for golden, quantity in rows(Path(arguments[0]), arguments[1] if arguments[1:] else "sdpa"):
        print("\t".join(cells(golden, quantity)), flush=True)
        passed.append(quantity.passed)
    if not passed:
        print(f"No set below '{arguments[0]}'. Expected folders with meta.json and ckpt/.")
    return 0 if passed and all(passed) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
