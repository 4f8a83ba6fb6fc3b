"""Online learning: algorithms that decide and learn as data come, and their regret."""
