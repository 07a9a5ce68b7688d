"""The Track Delivery page: templates and static files."""
