"""Parity with the authors' code: their outputs on tiny checkpoints, computed again by diptych."""
