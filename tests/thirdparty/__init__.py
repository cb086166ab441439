"""Calls of other people's code, as their users write them; :mod:`test_thirdparty` differentiates each."""
