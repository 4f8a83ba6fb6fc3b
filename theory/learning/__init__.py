"""Learning theory: inductive bias, testable learning, unsupervised pretraining and imperfect verifiers."""
