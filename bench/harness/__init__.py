"""The harness of the benchmark: rows (what is measured), run (processes), measure (rounds), figures (statistics),
report (table and JSON), plot (SVG). docs/bench.md tells how to read the results and how to join with a row."""
