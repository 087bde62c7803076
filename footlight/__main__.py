"""`python -m footlight` is `footlight`."""

import sys

from footlight.cli.main import main

sys.exit(main())
