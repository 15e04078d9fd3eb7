"""The models that learn from text by predicting its tokens: what training trains."""

from tezgah.models.causal import CausalLM
from tezgah.models.encoder import Encoder

LanguageModel = CausalLM | Encoder
