"""The command `export`: a discovered circuit in a file or folder for other programs and people."""

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from diptych.errors import InputError
from diptych.files import write_text, writing

Form = Literal["mib", "csv", "parquet", "pretrained"]


def export(
    run: Annotated[
        Path, typer.Argument(help="Folder of a finished `discover`: <runs>/<model>/<task>/discover-<digest>.")
    ],
    to: Annotated[Form, typer.Option(help="mib (JSON of EAP-IG, lossy), csv, parquet, or pretrained (a folder).")],
    out: Annotated[Path, typer.Option(help="File to write; a folder for pretrained.")],
    size: Annotated[float, typer.Option(help="Size of the circuit: share of all nodes.")],
    listed: Annotated[float | None, typer.Option(help="Share of nodes in a table, if more than the circuit.")] = None,
    d_model: Annotated[int | None, typer.Option(help="Width of the residual stream, which mib needs.")] = None,
) -> None:
    """Write a discovered circuit for MIB and EAP-IG (JSON), as a table (CSV, Parquet), or as a folder to share."""
    from diptych import exchange
    from diptych.experiments._discovered import discovered

    scores, conditions = discovered(run)
    circuit = scores.top(size)
    if to == "pretrained":
        circuit.save_pretrained(out, conditions | {"size": size})
    elif to == "mib":
        if d_model is None:
            raise InputError("MIB's graphs state the width of the residual stream. Give it as --d-model.")
        graph = exchange.mib_graph(scores, circuit, d_model=d_model)
        with writing(out):
            out.parent.mkdir(parents=True, exist_ok=True)
            write_text(out, json.dumps(graph) + "\n")
        typer.echo(exchange.LOST)
    else:
        if out.suffix != f".{to}":
            raise InputError(f"'{out}' does not end with .{to}. Name the file so, or give another --to.")
        rows = exchange.table(scores, circuit, scores.top(max(size, listed or 0)))
        exchange.write_table(rows, out)
    typer.echo(f"{out}: {circuit.count()[0]} heads and {circuit.count()[1]} neurons")
