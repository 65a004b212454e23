"""Models: any Hugging Face VLM seen through its sites."""

from diptych.models.check import Proof, prove
from diptych.models.claims import ProofLine
from diptych.models.load import load, organisms
from diptych.models.vlm import VLM

__all__ = ["VLM", "Proof", "ProofLine", "load", "organisms", "prove"]
