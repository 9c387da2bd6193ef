"""Request logs: what detectors would have alarmed on in a provider's own, and the logs of simulated campaigns."""
