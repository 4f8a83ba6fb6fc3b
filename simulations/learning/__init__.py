"""Learning theory: experiments."""
