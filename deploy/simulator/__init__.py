"""Plausible Exim logs of a hosting provider whose truth is known: what the demo shows and the tests compare with."""
