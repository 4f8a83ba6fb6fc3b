"""Learning theory: networks as hypothesis spaces."""
