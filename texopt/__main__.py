import sys

from texopt.cli import main

sys.exit(main())
