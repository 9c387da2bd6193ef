"""The simulation: accounts and what they send, providers and what they do, epoch after epoch."""
