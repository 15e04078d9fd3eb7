"""A token of generation on a CPU: the whole model as one compiled function, at the speed its weights can be read."""
