"""Checks what README says of other packages, by the sources of their wheels: `python scripts/check_comparison.py` (needs PyPI).

Each claim of the table is a pattern that is, or is not, in a package's files; status 1 if one does not hold.
"""

import re
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Claim:
    """Words of README's table, and a pattern that the files of a package hold, or (`absent`) do not."""

    package: str
    said: str
    pattern: str
    files: str = ""
    absent: bool = False

    def holds(self, sources: dict[str, str]) -> bool:
        """Whether it is so in these files (name → text)."""
        found = any(re.search(self.pattern, text) for name, text in sources.items() if re.search(self.files, name))
        return found != self.absent


WHEELS = {"TransformerLens": "transformer-lens==4.3.0", "nnsight": "nnsight==0.8.1", "pyvene": "pyvene==0.1.8"}
"""Name in README → what is downloaded."""
ADAPTERS = "architecture_adapter_factory"
SCORES = "analysis/attribution_patching"
METHODS = r"(?i)attribution.?patching|integrated.?gradients|faithfulness"
CLAIMS = (
    Claim("TransformerLens", "under uniform names", r"class TransformerBridge"),
    Claim("TransformerLens", "LLaVA", r'"LlavaForConditionalGeneration"', ADAPTERS),
    Claim("TransformerLens", "Gemma 3", r'"Gemma3ForConditionalGeneration"', ADAPTERS),
    Claim("TransformerLens", "Qwen2.5-VL", r'"Qwen2_5_VLForConditionalGeneration"', ADAPTERS),
    Claim("TransformerLens", "Qwen3-VL", r'"Qwen3VLForConditionalGeneration"', ADAPTERS),
    Claim("TransformerLens", "none for Qwen2-VL", r'"Qwen2VLForConditionalGeneration"', ADAPTERS, absent=True),
    Claim("TransformerLens", "nodes and edges", r'granularity="edge"', SCORES),
    Claim("TransformerLens", "at one point of the path", r"ig_steps>1 \(EAP-IG.*\) is not implemented", SCORES),
    Claim("TransformerLens", "faithfulness of edges", r"ablates every edge outside", SCORES),
    Claim("nnsight", "also remotely", r"remote"),
    Claim("nnsight", "`TransformersModel`", r"class TransformersModel\b"),
    Claim("nnsight", "none ready-made", METHODS, absent=True),
    Claim("pyvene", "interventions as configurations", r"class IntervenableConfig"),
    Claim("pyvene", "fixed or trained", r"class TrainableIntervention"),
    Claim("pyvene", "LLaVA", r"def create_llava"),
    Claim("pyvene", "BLIP", r"def create_blip"),
    Claim("pyvene", "none ready-made", METHODS, absent=True),
)


def sources(requirement: str) -> dict[str, str]:
    """The Python files of a wheel, by name."""
    with tempfile.TemporaryDirectory() as folder:
        download = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:", "-d", folder]
        subprocess.run([*download, requirement], check=True, capture_output=True)
        (path,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(path) as wheel:
            return {name: wheel.read(name).decode("utf-8") for name in wheel.namelist() if name.endswith(".py")}


def main() -> int:
    """Prints each claim with whether it holds."""
    files = {package: sources(requirement) for package, requirement in WHEELS.items()}
    held = [claim.holds(files[claim.package]) for claim in CLAIMS]
    for claim, holds in zip(CLAIMS, held, strict=True):
        print(f"{'holds' if holds else 'FALSE'}  {WHEELS[claim.package]}: {claim.said}")
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
