"""Models: one file a family = embedding + stack + head, and its map to Hugging Face checkpoints.

Read in this order: config, causal, then a family (gpt2, qwen3), build, checkpoint, cost.
"""
