"""Attacks by many accounts: pools, proxies, pacing, replacement after bans, evasion."""
