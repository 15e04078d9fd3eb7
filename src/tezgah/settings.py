"""What every table of a recipe is: a frozen, typed struct that refuses unknown fields.

Each room states its own table in its `settings.py`; `recipe.py` composes them. A field's
`description` is its help on the command line and its comment in a starter recipe.
"""

from typing import Annotated

import msgspec
from msgspec import Meta


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of every settings table."""


PositiveInt = Annotated[int, Meta(gt=0)]
NaturalInt = Annotated[int, Meta(ge=0)]
PositiveFloat = Annotated[float, Meta(gt=0)]
NaturalFloat = Annotated[float, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
Decay = Annotated[float, Meta(ge=0, lt=1)]  # of a running mean: at 1 it would never take anything in
Temperature = Annotated[float, Meta(ge=1)]  # of sources: below 1 the small ones would have less than their size
