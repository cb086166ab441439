"""Adapters that hand functions of bpkit to other libraries, one module for each."""
