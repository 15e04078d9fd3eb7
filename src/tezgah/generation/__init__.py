"""Text out of a model: decoding over a key/value cache, the choice of the next token, where to stop; masks filled."""
