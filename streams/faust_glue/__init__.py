"""The join as a Faust worker: app, agent, table, changelog, and all that leans on the inside of Faust."""
