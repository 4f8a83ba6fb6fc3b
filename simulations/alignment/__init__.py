"""Alignment: experiments."""
