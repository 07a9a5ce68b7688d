"""One partition of the join: what is held, stored and acknowledged, and in which order."""
