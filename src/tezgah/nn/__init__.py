"""The one transformer: attention, MLP, norms, positions, block, stack, and the loss at its end.

Read in this order: config, norms, positions, attention, mlp, block, stack, cross_entropy.
Families of models (`tezgah.models`) are embeddings and heads around it.
"""
