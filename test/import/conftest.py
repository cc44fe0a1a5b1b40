TABLES = {
    "import_table": "hand-made cases: op, passed, refused as expected, failed",
    "grid_table": "grid: op, passed, refused, failed",
}


def pytest_terminal_summary(terminalreporter, config):
    for attribute, title in TABLES.items():
        table = getattr(config, attribute, None)
        if not table:
            continue
        terminalreporter.write_sep("-", title)
        for op, (passed, refused, failed) in sorted(table.items()):
            terminalreporter.write_line(f"{op:32}{passed:6}{refused:6}{failed:6}")
        sums = [sum(column) for column in zip(*table.values())]
        terminalreporter.write_line(f"{'all':32}" + "".join(f"{n:6}" for n in sums))
