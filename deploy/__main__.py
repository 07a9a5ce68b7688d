"""`python -m postwatch.deploy` is the `postwatch` command, for whoever has the interpreter at hand and no path."""

import sys

from postwatch.deploy.cli import main

if __name__ == "__main__":
    sys.exit(main())
