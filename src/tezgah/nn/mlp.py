"""The position-wise MLP of a block, gated or plain."""

from torch import Tensor, nn
from torch.nn import functional as F

from tezgah.nn.config import StackConfig
from tezgah.nn.linear import joined_linear


class SwiGLU(nn.Module):
    """down(silu(gate(x)) · up(x)) (Shazeer 2020, "GLU variants improve transformer", eq. 6)."""

    def __init__(self, config: StackConfig) -> None:
        super().__init__()
        self.gate = nn.Linear(config.width, config.mlp_width, bias=config.linear_bias)
        self.up = nn.Linear(config.width, config.mlp_width, bias=config.linear_bias)
        self.down = nn.Linear(config.mlp_width, config.width, bias=config.linear_bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map `x`, (batch, time, width), to the same shape."""
        gate, up = joined_linear(x, self.gate, self.up)  # each (batch, time, mlp_width)
        return self.down(F.silu(gate) * up)


class GeluMLP(nn.Module):
    """down(gelu(up(x))), with GPT-2's tanh approximation of GELU (Hendrycks and Gimpel 2016)."""

    def __init__(self, config: StackConfig) -> None:
        super().__init__()
        self.up = nn.Linear(config.width, config.mlp_width, bias=config.linear_bias)
        self.down = nn.Linear(config.mlp_width, config.width, bias=config.linear_bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map `x`, (batch, time, width), to the same shape."""
        return self.down(F.gelu(self.up(x), approximate="tanh"))


def build_mlp(config: StackConfig) -> SwiGLU | GeluMLP:
    """The MLP a stack's blocks have."""
    return SwiGLU(config) if config.mlp == "swiglu" else GeluMLP(config)
