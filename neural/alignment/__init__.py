"""Alignment: losses that learn from good and bad answers, down to single steps and tokens."""
