"""Postfix's daemons."""
