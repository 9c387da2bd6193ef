"""A report as one HTML file that opens from disk: words, filters, plots, tables, claims, transcripts."""
