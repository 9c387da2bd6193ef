"""Strengths of defenses that cost honest users a stated share of their accuracy: cells matched by construction."""
