"""Classification: surrogate losses, calibration functions, consistency bounds and finite models to try them on."""
