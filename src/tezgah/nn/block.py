"""One transformer layer: attention and MLP, each added to the residual stream after a norm of its input."""

from torch import Tensor, nn
from torch.nn import functional as F

from tezgah.nn.attention import Attention
from tezgah.nn.cache import KVCache
from tezgah.nn.config import StackConfig
from tezgah.nn.mlp import build_mlp
from tezgah.nn.norms import build_norm


class Block(nn.Module):
    """A pre-norm block (Xiong et al. 2020); the residual stream stays float32."""

    def __init__(self, config: StackConfig, layer: int) -> None:
        super().__init__()
        self.dropout = config.dropout
        self.attention_norm = build_norm(config)
        self.attention = Attention(config, layer)
        self.mlp_norm = build_norm(config)
        self.mlp = build_mlp(config)

    def forward(
        self,
        x: Tensor,
        future: Tensor,
        rotary: tuple[Tensor, Tensor] | None = None,
        mask: Tensor | None = None,
        cache: KVCache | None = None,
    ) -> Tensor:
        """Map `x`, (batch, time, width), to the same shape; the rest as in `Attention`."""
        mixed = self.attention(self.attention_norm(x), future, rotary, mask, cache)
        x = x + F.dropout(mixed, self.dropout, self.training)
        return x + F.dropout(self.mlp(self.mlp_norm(x)), self.dropout, self.training)
