"""Online learning: experiments."""
