"""The conformance grid: for each op a table entry that unfolds into many single-node graphs."""
