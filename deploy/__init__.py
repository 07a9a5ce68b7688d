"""Machines: schema migrations, the embedded stack, the simulator, and the `postwatch` command."""
