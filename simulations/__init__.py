"""Experiments that judge the claims of papers, and the small engine that runs them.

A simulation is imported from its address, ``simulations.<subject>.<paper>``; from Python and
notebooks, ``run("contrastive/dcl")`` computes what is missing and returns tables and verdicts.
"""

from simulations.contract import Claim, Experiment, Paper, Replicate, Verdict
from simulations.judging import Results
from simulations.runs import run

__all__ = ["Claim", "Experiment", "Paper", "Replicate", "Results", "Verdict", "run"]
