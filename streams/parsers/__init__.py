"""Parsers of mail logs, one module a format, all pure: text to events."""
