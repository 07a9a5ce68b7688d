"""Log files: found, followed through rotations, cut into records, remembered."""
