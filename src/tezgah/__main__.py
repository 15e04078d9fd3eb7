"""`python -m tezgah`, which is how `torchrun -m tezgah run …` starts it."""

import sys

from tezgah.cli import main

sys.exit(main())
