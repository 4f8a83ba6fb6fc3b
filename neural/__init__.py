"""The papers' losses, layers, samplers, models and training algorithms in PyTorch, on CPU and GPU alike."""
