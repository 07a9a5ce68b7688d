"""Numbered schema migrations, applied in order by `postwatch migrate`."""
