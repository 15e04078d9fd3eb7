"""The factor that keeps gradients in the range of fp16 (Micikevicius et al. 2018, section 3.2).

The loss is multiplied by it before the backward pass, and gradients are divided by it after. Its course is that of
torch's GradScaler; it is decided by the gradient's norm, which every process knows alike, and it is part of a
checkpoint.
"""

import math

import msgspec

GOOD_STEPS = 2_000  # in a row, after which it is doubled


class LossScale(msgspec.Struct, frozen=True):
    """A power of two, and how many steps went well since it last changed."""

    factor: float = 65_536.0
    good_steps: int = 0

    def overflows(self, loss: float, norm: float) -> bool:
        """Whether a step is lost to the factor: its loss is a number, its gradient is none, and less may mend it."""
        return math.isfinite(loss) and not math.isfinite(norm) and self.factor > 1

    def after(self, norm: float) -> "LossScale":
        """What to scale the next step by.

        >>> LossScale().after(math.inf)
        LossScale(factor=32768.0, good_steps=0)
        >>> LossScale(1024.0, good_steps=1_999).after(0.5)
        LossScale(factor=2048.0, good_steps=0)
        """
        if not math.isfinite(norm):
            return LossScale(max(1.0, self.factor / 2))
        if self.good_steps + 1 == GOOD_STEPS:
            return LossScale(2 * self.factor)
        return LossScale(self.factor, self.good_steps + 1)
