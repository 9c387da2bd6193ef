"""Campaigns: accounts, traffic, providers and what becomes of them over weeks, joined to what a student learns."""
