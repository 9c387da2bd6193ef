"""The search for the strongest attack on a defense, within equal budgets."""
