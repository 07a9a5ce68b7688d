"""Postwatch against logs whose truth others have told; the corpora themselves are kept outside the project."""
