import sys

from texopt.cli.main import main

sys.exit(main())
