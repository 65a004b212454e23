"""The one error family: each message says what is wrong, what was expected and what to do."""


class DiptychError(Exception):
    """Base of every error raised for a user's input; the command line prints it and exits with status 2."""


class InputError(DiptychError):
    """A value, file, name or option given by the user cannot be used."""


class MismatchError(DiptychError):
    """Two values that do not belong together were combined (other model, other layout, other shape)."""


class UnsupportedModel(DiptychError):
    """The model has a part that diptych cannot read rightly, so it refuses."""


class ModelCheckFailed(DiptychError):
    """A line of the proof at load failed: numbers read from this model would be wrong."""


class StoreError(DiptychError):
    """A run folder is damaged, or was written by another version."""


class Damaged(StoreError):
    """A stored file does not hold what was written: a run computes it anew."""
