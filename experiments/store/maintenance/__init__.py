"""Looking after a store: what it holds and for whom, removing, checking, bringing up to date."""
