"""Claims of the literature that results are held against: one class and one YAML each."""
