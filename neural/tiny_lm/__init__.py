"""A language model small enough to train in seconds, its tokenizer and its log-probabilities."""
