"""`python -m unscene` is `unscene`."""

import sys

from unscene.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
