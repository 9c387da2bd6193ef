"""Results under their content hashes: what a stage is, the entries of the store, who may write them."""
