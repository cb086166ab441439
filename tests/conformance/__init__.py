"""The array-API suite of data-apis on traced arrays: what may fail there, and how two runs compare."""
