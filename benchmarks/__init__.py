"""What bpkit costs beside other libraries: ``python -m benchmarks`` lists the workloads."""
