"""Learning theory: figures."""
