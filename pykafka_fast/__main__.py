# SPDX-License-Identifier: Apache-2.0
"""``python -m pykafka_fast``."""

import sys

from pykafka_fast.cli import main

if __name__ == "__main__":
    sys.exit(main())
