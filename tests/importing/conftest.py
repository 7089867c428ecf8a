"""How Hypothesis runs here: the same examples each time, no clock on a shared machine, nothing written to the repository."""

from hypothesis import settings

settings.register_profile("here", deadline=None, derandomize=True, database=None)
settings.load_profile("here")
