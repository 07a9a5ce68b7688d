"""Exim's main and reject log."""
