"""How much an account may ask: rates, quotas, work."""
