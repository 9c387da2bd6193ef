"""Who an account belongs to: checks of identity."""
