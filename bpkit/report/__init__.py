"""A page for the browser about one training: what the doctor says, curves, layers, images.

See :func:`write_report`; ``bpkit report RUN`` calls it.
"""

from bpkit.report.page import REPORT, write_report

__all__ = ["REPORT", "write_report"]
