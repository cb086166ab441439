"""Derivatives of the special functions."""
