"""Joins both sides: cells, stages, store, measures, reports, command line."""

import lm  # noqa: F401  (libraries get a place to write before the reports import theirs)
