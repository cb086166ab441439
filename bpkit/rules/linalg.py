"""Derivatives of decompositions, inverses, determinants and norms of matrices."""
