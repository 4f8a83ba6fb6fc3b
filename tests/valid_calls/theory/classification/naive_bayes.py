"""Valid calls of theory.classification.naive_bayes."""

import numpy as np

from theory.classification.naive_bayes import GaussianNaiveBayes, NaiveBayesParameters

_X = np.array([[0.0, 1.0], [1.0, 0.5], [4.0, 2.0], [5.0, 1.5]])
_Y = np.array([0, 0, 1, 1])
_TRUE = NaiveBayesParameters(np.array([0.5, 0.5]), np.array([[0.5, 1.0], [4.0, 2.0]]), np.array([[1.0, 0.3]]))
_ROUGH = NaiveBayesParameters(np.array([0.4, 0.6]), np.array([[0.0, 1.0], [4.5, 2.0]]), np.array([[1.2, 0.3]]))

INSTANCES = {"GaussianNaiveBayes": lambda: GaussianNaiveBayes().fit(_X, _Y)}
CALLS = {
    "GaussianNaiveBayes": {"var_smoothing": 1e-9, "pooled": True},
    "GaussianNaiveBayes.fit": {"X": _X, "y": _Y},
    "GaussianNaiveBayes.partial_fit": {"X": _X, "y": _Y, "classes": 2},
    "GaussianNaiveBayes.predict": {"X": _X},
    "GaussianNaiveBayes.decision_function": {"X": _X},
    "NaiveBayesParameters": {
        "priors": np.array([0.5, 0.5]),
        "means": np.array([[-1.0, 0.0], [1.0, 0.0]]),
        "variances": np.array([[1.0, 2.0]]),
    },
    "NaiveBayesParameters.discriminants": {"X": _X},
    "NaiveBayesParameters.predict": {"X": _X},
    "nb_margin_bound": {"x": _X, "params_hat": _ROUGH, "params": _TRUE},
}
