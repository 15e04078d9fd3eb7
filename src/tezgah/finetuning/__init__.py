"""Labels onto a model: a classification head on an encoder or a causal model, trained, measured and reported."""
