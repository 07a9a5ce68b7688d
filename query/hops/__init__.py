"""One message on several of our servers: what became of it on the last one."""
