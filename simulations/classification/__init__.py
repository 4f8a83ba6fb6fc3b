"""Classification: experiments."""
