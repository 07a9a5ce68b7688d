"""Who may come in: log-in, sessions, and what `serve` remembers of them."""
