"""Data tables as LaTeX."""

from collections.abc import Sequence

from diptych.report.tables import table_of_rows
from diptych.result import Row

WRITTEN = str.maketrans(
    {
        **{letter: f"\\{letter}" for letter in "&%$#_{}"},
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "−": "$-$",
        "×": r"$\times$",
    }
    | {raised: f"$^{{{plain}}}$" for raised, plain in zip("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789", strict=True)}
)
"""Letters that LaTeX takes for commands, or that its fonts lack."""


def latex(rows: Sequence[Row]) -> str:
    """A tabular of booktabs, numbers flush right and rounded as in the report."""
    table = table_of_rows(rows)
    lines = [" & ".join(cell.translate(WRITTEN) for cell in row) + r" \\" for row in (table.columns, *table.rows)]
    columns = "".join("r" if numeric else "l" for numeric in table.numeric)
    body = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", lines[0], r"\midrule", *lines[1:]]
    return "\n".join([*body, r"\bottomrule", r"\end{tabular}"]) + "\n"
