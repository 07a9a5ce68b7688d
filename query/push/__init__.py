"""Webhooks: what happened, told to addresses that asked for it."""
