"""Our engine under lm-evaluation-harness: `python -m tezgah.harness --model tezgah --model_args path=MODEL --tasks …`.

That command is `lm_eval` with one more model. The harness finds models by name among those that were imported, so in
Python `harness_model()` is called once, and `lm_eval.simple_evaluate(model="tezgah", …)` knows it.
"""

import sys
from functools import cache
from typing import TYPE_CHECKING, Any

from tezgah.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lm_eval.api.instance import Instance

ROWS = 32  # at once, where "auto" is asked for


@cache
def harness_model() -> type[Any]:
    """The harness's model class over ours, under its name "tezgah" from then on; an `lm_eval.api.model.LM`.

    Raises InputError where the harness is not installed.
    """
    try:
        from lm_eval.api.model import LM
        from lm_eval.api.registry import register_model
    except ImportError:
        raise InputError("lm-evaluation-harness is not installed: pip install 'tezgah[harness]'.") from None

    @register_model("tezgah")
    class TezgahLM(LM):  # type: ignore[misc]
        """A MODEL at `path`; the other arguments are those that the harness gives every model.

        `batch_size` rows are read or written at once, "auto" being 32, or `max_batch_size`. The model goes to the best
        device here, with device "cpu" to the CPU.
        """

        def __init__(
            self,
            path: str,
            dtype: str = "float32",
            batch_size: int | str = "auto",
            max_batch_size: int | None = None,
            device: str | None = None,
        ) -> None:
            from tezgah.harness_requests import HarnessRequests
            from tezgah.opening import opened

            super().__init__()
            model, tokenizer = opened(path, dtype=dtype)
            if device == "cpu":
                model = model.to("cpu")
            is_auto = str(batch_size).startswith("auto")
            rows = min(ROWS, max_batch_size or ROWS) if is_auto else int(batch_size)
            self.requests = HarnessRequests(model, tokenizer, rows)

        def loglikelihood(self, requests: "Sequence[Instance]") -> list[tuple[float, bool]]:
            return self.requests.likelihoods([each.args for each in requests])

        def loglikelihood_rolling(self, requests: "Sequence[Instance]") -> list[float]:
            return self.requests.rolling_likelihoods([each.args[0] for each in requests])

        def generate_until(self, requests: "Sequence[Instance]") -> list[str]:
            asked = [each.args for each in requests]
            found: dict[int, str] = {}
            for place, text in self.requests.completions(asked):
                found[place] = text
                self.cache_hook.add_partial("generate_until", asked[place], text)  # kept also if the next one fails
            return [found[place] for place in range(len(asked))]

    return TezgahLM


def main() -> int:
    """The harness's own command line; bad input of ours is one line."""
    from tezgah.console import show

    try:
        harness_model()
        from lm_eval.__main__ import cli_evaluate

        cli_evaluate()
    except InputError as error:
        show(f"tezgah: {error}")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
