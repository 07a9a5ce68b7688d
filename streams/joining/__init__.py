"""Events of messages in, delivery rows out. Pure: no clock, no socket, no file."""
