"""Timed pieces of the project beside a plain transformers pipeline. Timing is never pass or fail.

Each module with a `main` says in ``TINY`` by which arguments it is over in seconds: so the tests run every one of them.
"""
