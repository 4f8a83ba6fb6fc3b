"""The figures, drawn from what simulations produced, and the gallery that shows them with the verdicts."""
