"""Special functions of mathematical physics and statistics, under SciPy's names."""

__all__: list[str] = []
