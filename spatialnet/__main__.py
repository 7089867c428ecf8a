"""`python -m spatialnet`: every capability without a browser."""

import sys

from spatialnet.cli import main

sys.exit(main())
