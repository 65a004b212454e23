"""Exchange: scores and circuits in other programs' formats."""

from itertools import product
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Literal

import pyarrow as pa
import torch
from pyarrow import csv, parquet
from torch import Tensor

from diptych.errors import InputError, MismatchError, StoreError
from diptych.files import write_whole, writing
from diptych.grid import KINDS, Circuit, Scores
from diptych.layout import Layout, require_same

HEADS, NEURONS = "blocks.{}.attn.hook_z", "blocks.{}.mlp.hook_post"
EMBEDDINGS = "hook_embed"
"""Names in the authors' score files."""

LOST = (
    "Positions are dropped: a head is in if it is in at any position. MLP neurons are not told apart: m<layer> is in if any "
    "of its neurons is. The circuit is of nodes: an edge is in if both its ends are, and has the score of its parent (0 "
    "for the input). Scores are sums over positions, and over neurons."
)
"""What MIB's and EAP-IG's graphs cannot hold."""


def reference_scores(path: str | Path, layout: Layout, model: str, reduction: Literal["l1", "abs"] = "l1") -> Scores:
    """Scores from a `.pt` file of the authors' code (vlm-circuits-analysis, node_attribution_patching_ig).

    The file holds a dict of tensors per layer: `blocks.L.attn.hook_z` [pos, head, d_head] and `blocks.L.mlp.hook_post`
    [pos, neuron]. A head's score is the sum of absolute values over its width (`l1`, the authors'), or the absolute sum.
    `layout` and `model` (a VLM's digest) say what the scores belong to, which the file does not. Embeddings are left out:
    they are no nodes. Only tensors are unpickled. Raises `StoreError` for anything else.
    `MismatchError` if the layout is of other prompts.
    """
    named = _tensors(Path(path))
    layers = sum(name.endswith(".attn.hook_z") for name in named)
    wanted = [form.format(layer) for layer, form in product(range(layers), (HEADS, NEURONS))]
    strange = sorted(set(named) - {*wanted, EMBEDDINGS} | set(wanted) - set(named))
    if strange or not layers:
        raise StoreError(
            f"{path} does not hold heads and neurons of each layer: see {strange[:3] or 'its names: there are none'}. "
            f"Expected {HEADS.format(0)}, {NEURONS.format(0)} and so on; cross-attention states are no nodes."
        )
    heads, neurons = (torch.stack([named[form.format(n)] for n in range(layers)]).float() for form in (HEADS, NEURONS))
    if heads.ndim != 4 or neurons.ndim != 3:
        raise StoreError(
            f"{path} has heads {list(heads.shape)[1:]} and neurons {list(neurons.shape)[1:]} per layer; expected [pos, "
            f"head, d_head] and [pos, neuron], one prompt's without a batch."
        )
    if (heads.shape[1], neurons.shape[1]) != (layout.length, layout.length):
        raise MismatchError(
            f"{path} is of prompts of {heads.shape[1]} positions, the layout of {layout.length}. Give the layout of its "
            f"prompts, prefix and all."
        )
    width = heads.abs().sum(-1) if reduction == "l1" else heads.sum(-1).abs()
    return Scores(width, neurons.abs(), layout, model)


def mib_graph(scores: Scores, circuit: Circuit, *, d_model: int, parallel_attn_mlp: bool = False) -> dict[str, Any]:
    """A node circuit as the JSON that EAP-IG and MIB read (`Graph.from_json`); lossy, see `LOST`.

    `d_model`: width of the residual stream. `parallel_attn_mlp`: whether a layer's MLP reads the same stream as its heads.
    """
    _require_pair(scores, circuit)
    layers, heads = scores.heads.shape[0], scores.heads.shape[2]
    config = {"n_layers": layers, "n_heads": heads, "parallel_attn_mlp": parallel_attn_mlp, "d_model": d_model}
    inside = {"input": True} | _named(circuit.heads.any(1), circuit.neurons.any(2).any(1)) | {"logits": True}
    score = {"input": 0.0} | _named(scores.heads.sum(1), scores.neurons.sum((1, 2)))
    nodes = {
        name: {"in_graph": is_in} | ({"score": score[name]} if name in score else {}) for name, is_in in inside.items()
    }
    edges = {
        edge: {"score": score[parent], "in_graph": True}
        for parent, child, edge in _edges(layers, heads, parallel_attn_mlp)
        if inside[parent] and inside[child]
    }
    return {"cfg": config, "nodes": nodes, "edges": edges, "lost": LOST}


def table(scores: Scores, circuit: Circuit, listed: Circuit) -> pa.Table:
    """One row per node of `listed`: kind, layer, position, its label, index, score, and whether it is in the circuit."""
    _require_pair(scores, circuit)
    _require_pair(scores, listed)
    labels = pa.array(scores.layout.labels)
    return pa.concat_tables(
        [_rows(kind, labels, getattr(scores, kind), getattr(circuit, kind), getattr(listed, kind)) for kind in KINDS]
    )


def write_table(rows: pa.Table, path: Path) -> None:
    """Write rows as CSV or Parquet, as the path ends; raises `InputError` for another ending."""
    writers = {".csv": csv.write_csv, ".parquet": parquet.write_table}
    if path.suffix not in writers:
        raise InputError(f"'{path}' ends with '{path.suffix}'; expected {' or '.join(writers)}.")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, lambda file: writers[path.suffix](rows, file))


def _rows(kind: str, labels: pa.Array, scores: Tensor, circuit: Tensor, listed: Tensor) -> pa.Table:
    layer, position, index = (column.numpy() for column in listed.nonzero(as_tuple=True))
    columns = {
        "kind": pa.array([kind] * len(layer)),
        "layer": layer,
        "position": position,
        "span": labels.take(pa.array(position)),
        "index": index,
        "score": scores[listed].float().numpy(),
        "in_circuit": circuit[listed].numpy(),
    }
    return pa.table(columns)


def _named(heads: Tensor, mlps: Tensor) -> dict[str, Any]:
    """Values of heads [layer, head] and MLPs [layer] by EAP-IG's names, in its order."""
    named: dict[str, Any] = {}
    for layer, (row, mlp) in enumerate(zip(heads.tolist(), mlps.tolist(), strict=True)):
        named |= {f"a{layer}.h{head}": value for head, value in enumerate(row)} | {f"m{layer}": mlp}
    return named


def _edges(layers: int, heads: int, parallel: bool) -> "list[tuple[str, str, str]]":
    """Parent, child and name of every edge: from each node to the queries, keys, values and MLPs after it, and the logits."""
    found, before = [], ["input"]
    for layer in range(layers):
        attention, mlp = [f"a{layer}.h{head}" for head in range(heads)], f"m{layer}"
        found += [(p, c, f"{p}->{c}<{letter}>") for p, c, letter in product(before, attention, "qkv")]
        found += [(p, mlp, f"{p}->{mlp}") for p in (before if parallel else before + attention)]
        before = [*before, *attention, mlp]
    return found + [(p, "logits", f"{p}->logits") for p in before]


def _tensors(path: Path) -> dict[str, Tensor]:
    try:
        named = torch.load(path, weights_only=True, map_location="cpu")
    except (OSError, EOFError, RuntimeError, UnpicklingError) as error:
        raise StoreError(
            f"{path} cannot be read as tensors: {str(error).splitlines()[0]} Expected a .pt file of the authors' scores."
        ) from error
    if not isinstance(named, dict) or not all(isinstance(value, Tensor) for value in named.values()):
        raise StoreError(f"{path} holds a {type(named).__name__}; expected a dict of tensors by hook name.")
    return named


def _require_pair(scores: Scores, circuit: Circuit) -> None:
    if scores.model != circuit.model:
        raise MismatchError(
            f"Scores of model {scores.model} and a circuit of {circuit.model}. Export those of one model."
        )
    require_same(scores.layout, circuit.layout)
