"""Write docs/models.md: what the proof at load says of every architecture, each tiny and random.

python scripts/coverage_table.py            write the table
python scripts/coverage_table.py --check    exit with status 1 if the table is not what it would be now
"""

import sys
import warnings
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from diptych.models.coverage import HEADS_ONLY, IN_PART, PASSES, REFUSED, Coverage, cover
from diptych.models.sketches import every_sketch

TABLE = Path(__file__).parent.parent / "docs" / "models.md"
HEADER = """# Which models diptych reads

Written by `python scripts/coverage_table.py`; do not edit. **{good} of the {all} architectures** of transformers
{transformers}'s image-text-to-text mapping pass, {good} with all their heads and {counts[passes]} with all their neurons too.

Each is built tiny and random from its configuration, and goes through the proof that a model goes through when it is
loaded: `diptych check random:<architecture>`. So the table is about architectures; a checkpoint is proven anew when it
is loaded. The kernels are those of the attention on which the proof was run, in float32 on a CPU.

* **{passes}** ({counts[passes]}): every head and neuron is a node, and every line of the proof holds.
* **{heads_only}** ({counts[heads_only]}): all heads are nodes; layers whose routed experts cannot be read have no neurons.
* **{in_part}** ({counts[in_part]}): what is read is read rightly; what the last column names raises `UnsupportedModel`, or is not
  among the nodes.
* **{refused}** ({counts[refused]}): loading it is an error that gives the reason.

Numbers of heads and neurons are those of the tiny model, by layer if layers differ. A name with a "+" is a variant of the
architecture before it, and does not count above. The neurons of routed experts are nodes expert by expert: router weight
times activation, 0 where the expert is not chosen. Which experts are chosen jumps along a path of inputs, so on these
models AP-IG is not complete, however many steps it takes: see each result's completeness error, and verify by exact
patching.

| architecture | class | layers | heads, neurons | kernels | verdict | reason |
|---|---|---|---|---|---|---|
"""


def page(rows: Sequence[Coverage]) -> str:
    """The table and what its words mean."""
    verdicts = {"passes": PASSES, "heads_only": HEADS_ONLY, "in_part": IN_PART, "refused": REFUSED}
    found = Counter(row.verdict for row in rows if "+" not in row.architecture)
    counts = {key: found[verdict] for key, verdict in verdicts.items()}
    sums = {"good": found[PASSES] + found[HEADS_ONLY], "all": found.total()}
    head = HEADER.format(transformers=version("transformers"), counts=counts, **sums, **verdicts)
    return head + "".join(map(_line, rows))


def main() -> None:
    warnings.simplefilter("ignore")
    written = page([cover(architecture) for architecture in every_sketch()])
    if "--check" not in sys.argv[1:]:
        TABLE.write_text(written, encoding="utf-8")
        print(TABLE)
    elif not TABLE.is_file() or TABLE.read_text(encoding="utf-8") != written:
        sys.exit(f"{TABLE} is not what the proof says now. Run `python scripts/coverage_table.py` and read the change.")


def _line(row: Coverage) -> str:
    cells = (row.architecture, row.model, row.layers, row.sites, row.kernels, row.verdict, row.reason)
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |\n"


if __name__ == "__main__":
    main()
