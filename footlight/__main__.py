"""`python -m footlight` is `footlight`."""

import sys

from footlight.cli import main

sys.exit(main())
