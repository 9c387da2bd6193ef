"""The report on campaigns as one HTML file, in the frame of `experiments.report.page`."""
