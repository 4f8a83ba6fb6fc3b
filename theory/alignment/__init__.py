"""Alignment: what learning from preferences converges to, exactly."""
