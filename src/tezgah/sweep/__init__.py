"""A grid of settings tried one after another, each point of it an ordinary run folder."""
