"""Unlearning: experiments."""
