"""`make mutations` breaks each guarantee in a copy of the project, one at a time, and shows that its tests fail."""
