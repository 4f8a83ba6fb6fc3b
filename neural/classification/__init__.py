"""Classification: losses, adversarial training and the small models that they are tried on."""
