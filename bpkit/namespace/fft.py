"""Discrete Fourier transforms.

Chapter "FFT Extension" of the standard:
https://data-apis.org/array-api/2025.12/extensions/fourier_transform_functions.html
"""

__all__: list[str] = []
