"""Looking after a store: what it holds and for whom, removing, checking, handing on, bringing up to date."""
