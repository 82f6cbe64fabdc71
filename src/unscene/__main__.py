"""`python -m unscene` is `unscene`."""

import sys

from unscene.cli import main

if __name__ == "__main__":
    sys.exit(main())
