"""Which accounts act together: what they have in common, and groups found by it."""
