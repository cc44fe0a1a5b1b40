def pytest_terminal_summary(terminalreporter, config):
    """The table op x (passed, refused as expected, failed)."""
    table = getattr(config, "import_table", None)
    if not table:
        return
    terminalreporter.write_sep("-", "import: op, passed, refused, failed")
    for op, (passed, refused, failed) in sorted(table.items()):
        terminalreporter.write_line(f"{op:32}{passed:6}{refused:6}{failed:6}")
