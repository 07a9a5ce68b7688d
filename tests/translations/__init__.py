"""The texts of the pages against the catalogs of their languages."""
