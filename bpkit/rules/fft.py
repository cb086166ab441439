"""Derivatives of the Fourier transforms: linear, every one."""
