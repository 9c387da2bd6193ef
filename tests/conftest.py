"""What holds for all tests."""

import gc

from hypothesis import settings

settings.register_profile("moatbench", deadline=None)  # on a fresh machine the first example compiles what it calls
settings.load_profile("moatbench")

gc.disable()  # while modules are imported and tests collected, all of which stays


def pytest_collection_finish() -> None:
    """Garbage is looked for in what tests make only: through all modules, that took a fourteenth of the time."""
    gc.freeze()
    gc.set_threshold(20_000)
    gc.enable()
