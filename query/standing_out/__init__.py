"""What stands out among what failed: which groups have more than they usually have, and since when. Pure."""
