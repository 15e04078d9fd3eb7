"""`python -m tezgah`, which is how launchers start it.

`torchrun --nproc-per-node 2 -m -- tezgah run RECIPE --run DIR`: without the `--` torchrun takes
`--run` for a flag of its own. `accelerate launch -m tezgah run RECIPE --run DIR` needs none.
"""

import sys

from tezgah.cli import main

if __name__ == "__main__":
    sys.exit(main())
