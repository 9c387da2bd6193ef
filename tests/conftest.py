"""What holds for all tests."""

from hypothesis import settings

settings.register_profile("moatbench", deadline=None)  # on a fresh machine the first example compiles what it calls
settings.load_profile("moatbench")
