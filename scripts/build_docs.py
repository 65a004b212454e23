"""Pages of every public name and module, from the docstrings, and of the benchmarks: `python scripts/build_docs.py FOLDER`
(extra `docs`)."""

import sys
from importlib import import_module
from pathlib import Path

import pdoc

import diptych

ROOT = Path(__file__).parent.parent
MODULES = ("statistics", "result", "items", "metrics", "errors")
"""Modules whose own names a user takes beside those of `diptych` itself."""


def main(folder: str = "build/docs") -> None:
    """Write the pages; the first one is index.html."""
    for name in diptych.__all__:  # they are imported when first used, and pdoc looks at what is there
        setattr(diptych, name, getattr(diptych, name))
    sys.path.insert(0, str(ROOT))  # where `benchmarks` lies
    numbers = import_module("benchmarks")
    numbers.__doc__ = (ROOT / "benchmarks" / "numbers.md").read_text(encoding="utf-8")
    pdoc.render.configure(docformat="markdown", footer_text=f"diptych {diptych.__version__}", search=False)
    pdoc.pdoc("diptych", *(f"diptych.{name}" for name in MODULES), "benchmarks", output_directory=Path(folder))
    print(Path(folder) / "index.html")


if __name__ == "__main__":
    main(*sys.argv[1:])
