"""Coverage: what the proof says of a tiny random model of each architecture."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from diptych.errors import DiptychError
from diptych.models.check import Proof, prove
from diptych.models.load import load
from diptych.models.random import RANDOM
from diptych.models.readable import KERNELS
from diptych.models.sites import Site, Sites
from diptych.models.sketches import every_sketch
from diptych.models.vlm import VLM

PASSES, HEADS_ONLY, IN_PART, REFUSED = "passes", "passes, heads only", "passes in part", "refused"
VERDICTS = (PASSES, HEADS_ONLY, IN_PART, REFUSED)
OPERATIONS = {
    "a head is one block of numbers": "proof that heads are apart",
    "knocking out the data hides the picture": "knockout",
    "resuming at a layer is the full forward": "back-patching",
    "image positions hold the image features": "image positions",
}


@dataclass(frozen=True)
class Coverage:
    """One architecture: what was found in it, the kernels it was proven on, the verdict, and the reason for less than a pass."""

    architecture: str
    model: str
    layers: str
    sites: str
    kernels: str
    verdict: str
    reason: str


def cover(architecture: str) -> Coverage:
    """Build the architecture tiny and random, and prove it on every attention kernel that it has."""
    rows = [_cover(architecture, kernel) for kernel in KERNELS]
    tower = every_sketch()[architecture].tower.get("model_type")
    standing_in = [f"proven with {tower} in place of its own vision tower, which needs torchvision"] if tower else []
    # the same reason is said once; a kernel on which another holds is named
    said = dict.fromkeys(row.reason if row.reason == rows[0].reason else f"{row.kernels}: {row.reason}" for row in rows)
    kernels = dict.fromkeys(row.kernels for row in rows)
    return replace(
        max(rows, key=lambda row: VERDICTS.index(row.verdict)),
        kernels=", ".join(filter(None, kernels)),
        reason="; ".join([*filter(None, said), *standing_in]),
    )


def _cover(architecture: str, kernel: str) -> Coverage:
    try:
        vlm = load(f"{RANDOM}{architecture}", attention=kernel, verify=False)
    except DiptychError as refusal:
        return Coverage(architecture, "", "", "", "", REFUSED, str(refusal))
    try:
        proof = prove(vlm)
    except DiptychError as refusal:
        return _row(architecture, vlm, REFUSED, str(refusal))
    return _row(architecture, vlm, *judge(vlm.sites, proof))


def judge(sites: Sites, proof: Proof) -> tuple[str, str]:
    """The verdict on a proof, and its reason."""
    failed = [line.name for line in proof.lines if not line.passed]
    if failed:
        return REFUSED, f"fails in the proof: {'; '.join(failed)}"
    parts = [f"no {OPERATIONS.get(claim, claim)}: {why}" for claim, why in proof.refused.items()]
    if sites.unread:
        parts.insert(0, proof.found["not read"])
    if "token ids" in proof.found:
        parts.append(f"token ids are {proof.found['token ids']}")
    routed = [site for site in sites.neurons if not site.there]
    experts = f"no neurons in {len(routed)} of {len(sites.neurons)} layers" if routed else ""
    return (IN_PART if parts else HEADS_ONLY if routed else PASSES), "; ".join(filter(None, [experts, *parts]))


def _row(architecture: str, vlm: VLM, verdict: str, reason: str) -> Coverage:
    mixing = Counter(mixer.mixing for mixer in vlm.sites.mixers)
    layers = ", ".join(f"{count} {kind if kind != 'none' else 'without mixing'}" for kind, count in mixing.items())
    experts = f" (experts in {len(vlm.sites.routed)} of {len(vlm.layers)} layers)" if vlm.sites.routed else ""
    sites = f"{_numbers(vlm.sites.heads)} heads, {_numbers(vlm.sites.neurons)} neurons{experts}"
    return Coverage(architecture, type(vlm.model).__name__, layers, sites, vlm.attention, verdict, reason)


def _numbers(sites: Sequence[Site]) -> str:
    """How many nodes each layer has; once, if all have the same number."""
    counts = [site.there for site in sites]
    return str(counts[0]) if len(set(counts)) == 1 else "/".join(map(str, counts))
