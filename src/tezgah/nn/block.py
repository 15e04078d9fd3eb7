"""One transformer layer: attention and MLP, each added to the residual stream."""

from torch import Tensor, nn
from torch.nn import functional as F

from tezgah.nn.attention import Attention, View
from tezgah.nn.config import StackConfig
from tezgah.nn.mlp import build_mlp
from tezgah.nn.norms import build_norm
from tezgah.nn.precision import widened


class Block(nn.Module):
    """A block that normalizes what goes into its halves, or the sums that come out (Xiong et al. 2020, figure 1).

    Sums are float32 whatever the precision of the products.
    """

    def __init__(self, config: StackConfig, layer: int) -> None:
        super().__init__()
        self.dropout, self.norm_first = config.dropout, config.norm_first
        self.mlp_dropout = config.dropout if config.mlp_dropout is None else 0.0  # else it is inside the MLP
        self.attention_norm = build_norm(config) if config.first_norm or layer else None
        self.attention = Attention(config, layer)
        self.mlp_norm = build_norm(config)
        self.mlp = build_mlp(config)

    def forward(self, x: Tensor, view: View) -> Tensor:
        """Map `x`, (batch, time, width), to the same shape."""
        if self.norm_first:
            x = x + self._dropped(self.attention(self._normalized(x), view), self.dropout)
            return x + self._dropped(self.mlp(self.mlp_norm(x)), self.mlp_dropout)
        x = self._normalized(widened(x) + self._dropped(self.attention(x, view), self.dropout))
        return self.mlp_norm(widened(x) + self._dropped(self.mlp(x), self.mlp_dropout))  # type: ignore[no-any-return]

    def _normalized(self, x: Tensor) -> Tensor:
        """`x` after attention's norm; without one, in the precision of the product that takes it."""
        if self.attention_norm is None:
            return x.to(self.attention.query.weight.dtype)
        return self.attention_norm(x)  # type: ignore[no-any-return]

    def _dropped(self, x: Tensor, dropout: float) -> Tensor:
        return F.dropout(x, dropout, self.training)
