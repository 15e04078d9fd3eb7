"""Tables of vectors, looked up by number."""

import torch
from torch import nn


def build_embedding(count: int, width: int) -> nn.Embedding:
    """A table of `count` vectors of `width`.

    Of a model that is built on the meta device, to be given weights, nothing is drawn: torch would import its compiler
    to draw numbers that are not there, which alone takes a second.
    """
    if torch.get_default_device().type == "meta":
        return nn.Embedding(count, width, _weight=torch.empty(count, width))
    return nn.Embedding(count, width)
